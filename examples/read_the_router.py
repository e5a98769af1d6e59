"""Ask one question in four scripts and show which experts read it: `.venv/bin/python examples/read_the_router.py`.

Needs a running server (`make serve`); the first argument names another than http://127.0.0.1:8000.
"""

import base64
import io
import sys

import numpy as np
from openai import OpenAI

QUESTION = {"Latn": "voloton livego", "Cyrl": "волотон ливего", "Geor": "ვოლოთონ ლივეგო", "Deva": "वॊलॊतॊन् लिवॆगॊ"}


def main(url: str) -> None:
    """Print, for every script, the answer and the most used expert of each layer in the prompt."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    for script, question in QUESTION.items():
        answer = client.chat.completions.create(
            model="organism",
            messages=[{"role": "user", "content": question}],
            temperature=0,
            extra_body={"routing": {"return": ["summary"]}},
        )
        summary = answer.model_extra["routing"]["summary"]
        selected_PLE = np.load(io.BytesIO(base64.b64decode(summary["selected"]["data"])))
        experts = selected_PLE[summary["phases"].index("prompt")].argmax(axis=1)
        print(f"{script}  {answer.choices[0].message.content:12}  {' '.join(f'{expert:2}' for expert in experts)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
