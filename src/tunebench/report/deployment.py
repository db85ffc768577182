"""The table `deployment`: how each method can be served."""

from __future__ import annotations

from tunebench.config.options import Options
from tunebench.config.schema import Params, PeftMethod, PromptingMethod
from tunebench.models.deployment import merge_fault, vllm_fault
from tunebench.report.tables import Row


def build(params: Params) -> dict[str, list[Row]]:
    """The table `deployment`, a row for each method.

    `mergeable` is whether the adapter can be merged into the base's weights, so that any server can
    run it; `vllm_adapter` whether vLLM loads it beside the base; `many_adapters` whether one base
    then serves many adapters; `because` gives the reason for a "no".
    """
    grid = params.grid
    return {
        "deployment": [
            {"method": name, **_served(params.method(name))}
            for name in (*grid.prompting, *grid.tuning)
        ]
        + [
            {"method": name, **_row("a program with scikit-learn", "", "", "")}
            for name in dict.fromkeys(
                name for dataset in grid.datasets for name in params.baselines_for(dataset)
            )
        ]
    }


def _served(method: object) -> Row:
    if isinstance(method, PromptingMethod):
        return _row("the untouched base", "", "", "")
    if isinstance(method, PeftMethod):
        return _of_adapter(method.adapter)
    return _row("a whole model of its own", "", "no", "")


def _of_adapter(adapter: Options) -> Row:
    unmerged, refused = merge_fault(adapter), vllm_fault(adapter)
    ways = [
        *(["an adapter"] if not refused else []),
        *(["a merged model"] if not unmerged else []),
    ]
    reasons = dict.fromkeys(filter(None, (unmerged, refused)))
    return _row(
        " or ".join(ways) or "in-process only",
        "no" if unmerged else "yes",
        "no" if refused else "yes",
        "; ".join(reasons),
    )


def _row(served_as: str, mergeable: str, vllm_adapter: str, because: str) -> Row:
    return {
        "served_as": served_as,
        "mergeable": mergeable,
        "vllm_adapter": vllm_adapter,
        "many_adapters": vllm_adapter,  # vLLM picks the adapter by the request's model name
        "because": because,
    }
