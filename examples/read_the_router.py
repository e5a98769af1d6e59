"""Ask one question in four scripts, and read the router: sums by token script, then one request token by token.

    .venv/bin/python examples/read_the_router.py [URL]

Needs a running server (`make serve`), at http://127.0.0.1:8000 unless named. With the bundled organism:

    voloton livego  midala
    волотон ливего  вуруру
    ვოლოთონ ლივეგო  ვურურუ
    वॊलॊतॊन् लिवॆगॊ  रॊसुमि

    script  tokens  most selected expert of each layer
    Cyrl        10   3 100%  14 100%   5  40%   0  50%  15 100%   9 100%
    Deva        10   9 100%   2 100%  13  50%   1  40%  14 100%   6 100%
    Geor        10   7 100%   1 100%  12  40%   7  40%   0  90%  10 100%
    Latn        10   4 100%  10 100%   7  50%  14  40%   3 100%  15 100%
    Zyyy        32   0  28%  11  25%  15  38%   0  25%   4  25%  12  41%

    token            script  phase      experts of each layer
    '<|user|>'       Zyyy    prompt      12+0  12+11   14+1    0+7   8+10    0+2
    'во'             Cyrl    prompt       3+8   14+0    5+2   0+14   15+8    9+4
    'ло'             Cyrl    prompt       3+8   14+0   1+15    6+0   15+9    9+5
    'тон'            Cyrl    prompt       3+8   14+0   10+4    4+0   15+2   9+12
    ' '              Zyyy    prompt       3+8   0+14  10+12    9+0   15+4   13+9
    'ливего'         Cyrl    prompt       8+3  14+11   12+5   0+14   15+9    9+5
    '<|end|>'        Zyyy    prompt     11+10   15+0  10+15  15+10    4+9   12+5
    '<|assistant|>'  Zyyy    prompt      8+14  11+14  15+14  12+11   11+2  13+12
    '<think>'        Zyyy    answer      14+3   14+0  14+15  13+11   9+15  13+14
    'во'             Cyrl    reasoning    3+8   14+0    8+0   6+13   15+5   9+14
    'ло'             Cyrl    reasoning    3+8   14+0    8+1    6+2   15+5    9+5
    'тон'            Cyrl    reasoning   3+14   14+0   10+5    3+4   15+9    9+5

Each token goes to two experts in each layer. In the organism the four scripts have experts of their own on layers 0,
1, 4 and 5; what is in no script (template tokens, spaces) goes to many.
"""

import sys

import numpy as np

from polyglyph.clients import Polyglyph, Trace, routing_of

QUESTION = {"Latn": "voloton livego", "Cyrl": "волотон ливего", "Geor": "ვოლოთონ ლივეგო", "Deva": "वॊलॊतॊन् लिवॆगॊ"}
NUM_SHOWN = 12


def main(url: str) -> None:
    """Ask, print the sums of all four requests, and the first tokens of one of them."""
    with Polyglyph(url) as client:
        num_experts = client.model().binding.experts
        traces = {script: ask(client, question) for script, question in QUESTION.items()}
        print_sums(list(traces.values()), num_experts)
        print_tokens(client, traces["Cyrl"])


def ask(client: Polyglyph, question: str) -> Trace:
    """Ask one question and give its routing, token by token."""
    answer = client.openai.chat.completions.create(
        model="organism",
        messages=[{"role": "user", "content": question}],
        temperature=0,
        extra_body={"routing": {"return": ["tokens"], "weights": True}},
    )
    routing = routing_of(answer)
    assert routing is not None
    assert routing.tokens is not None
    print(f"{question:14}  {answer.choices[0].message.content}")
    return routing.tokens


def print_sums(traces: list[Trace], num_experts: int) -> None:
    """Print, by script of the token, each layer's most selected expert and the share of tokens that went to it."""
    print("\nscript  tokens  most selected expert of each layer")
    for script in sorted({str(code) for trace in traces for code in trace.scripts}):
        counts_LE = sum(trace.selected(num_experts, where=trace.scripts == script) for trace in traces)
        num_tokens = sum(int((trace.computed & (trace.scripts == script)).sum()) for trace in traces)
        shares = np.asarray(counts_LE).max(axis=1) / max(num_tokens, 1)
        experts = np.asarray(counts_LE).argmax(axis=1)
        cells = (f"{expert:2} {share:4.0%}" for expert, share in zip(experts, shares, strict=True))
        print(f"{script:6}  {num_tokens:6}  {'  '.join(cells)}")


def print_tokens(client: Polyglyph, trace: Trace) -> None:
    """Print the first tokens of a sequence with the experts that computed them, the heavier one first."""
    print(f"\n{'token':15}  script  {'phase':9}  experts of each layer")
    for row in range(min(NUM_SHOWN, len(trace))):
        text = repr(client.detokenize(trace.token_ids[row : row + 1]))
        experts = ("+".join(f"{expert}" for expert in chosen) for chosen in trace.ids[row])
        cells = "  ".join(f"{pair:>5}" for pair in experts)
        print(f"{text:15.15}  {trace.scripts[row]:6}  {trace.phases[row]:9}  {cells}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
