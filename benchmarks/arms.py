"""What throughput is compared: how each arm's engine is started, and what its requests ask for."""

from dataclasses import dataclass, field

from polyglyph.contract.steering import TraceOptions

PLAIN = "plain"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm; those with the same environment share an engine.

    Attributes:
        environment: What the engine is started with.
        is_steered: Every other request is steered.
        trace: What every request's trace keeps; None for no traces.
        wants_summary: Every request asks for its own sums.
    """

    environment: dict[str, str] = field(default_factory=lambda: {"POLYGLYPH_STATS": "0"})
    is_steered: bool = False
    trace: TraceOptions | None = None
    wants_summary: bool = False

    @property
    def keeps_stats(self) -> bool:
        """Whether sums are kept, and drained as a server does."""
        return self.environment.get("POLYGLYPH_STATS") == "1"


_DISABLED = {"POLYGLYPH_DISABLE": "1"}
_STATS = {"POLYGLYPH_STATS": "1"}
ARMS = {
    PLAIN: Arm(environment=_DISABLED),
    "plain, another engine": Arm(environment={**_DISABLED, "POLYGLYPH_BENCHMARK": "again"}),
    "idle": Arm(),
    "stats": Arm(environment=_STATS),
    "summary": Arm(wants_summary=True),
    "tokens": Arm(trace=TraceOptions()),
    "tokens + scores": Arm(trace=TraceOptions(runner_up=True, probabilities=True)),
    "steered": Arm(is_steered=True),
    "steered + stats": Arm(environment=_STATS, is_steered=True),
}
EXPLANATION = (
    "`plain, another engine`: what two engines of the same kind differ by. `idle`: hooked, nothing kept. `stats`: sums "
    "of all tokens, drained and acknowledged after every second of measured time. `summary`: every request's own sums, "
    "without stats. `tokens`: every request traced, without stats. `tokens + scores`: runners-up and probabilities "
    "too. `steered`: every other request. What requests leave behind (sums, traces, accounts of steering) is fetched "
    "within the measured time."
)
