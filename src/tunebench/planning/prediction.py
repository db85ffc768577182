"""What one stage will take: by the models of memory and time, corrected by what runs here took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunebench.config.schema import Params, PromptingMethod
from tunebench.estimates import memory, seconds
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.memory import Peak
from tunebench.estimates.seconds import Speed
from tunebench.estimates.sizes import Size
from tunebench.estimates.work import Answering, Training
from tunebench.planning.device import Device
from tunebench.planning.graph import Stage
from tunebench.planning.work import FORGETTING_TOKENS, Work
from tunebench.prompts.batching import CPU_BATCH_TOKENS
from tunebench.timing.clock import MAX_WARMUP_REQUESTS, MAX_WARMUP_S

# of a process and DVC around it, on two cores: imports, hashing, intervals by the bootstrap
FIXED_S = {
    "check": 2.5, "download": 2.9, "forgetting_text": 3.0, "fetch_model": 12.0, "subsample": 3.3,
    "format_prompts": 4.0, "train": 9.7, "evaluate": 9.3, "time_inference": 8.3, "load_test": 20.0,
    "report": 3.7, "baselines": 2.5,
}  # fmt: skip
DVC_S = 0.9  # of these, of DVC itself
ROW_S = {"download": 5e-5, "subsample": 2e-5, "format_prompts": 2e-4, "baselines": 3e-3}
IMPORTS_S = 2.5  # of scikit-learn
RATES = 6  # that a load test tries
MERGED = {"LORA", "ADALORA", "IA3", "OFT", "BOFT", "LOHA", "LOKR", "VERA", "FOURIERFT", "HRA"}


@dataclass(frozen=True)
class Estimate:
    """Seconds of a stage's work beyond `FIXED_S`, its peak, its tokens, and bytes that it writes.

    `beside` are seconds of work that its metrics do not measure.
    """

    seconds: float = 0.0
    beside: float = 0.0
    peak: Peak | None = None
    trained: float = 0.0
    read: float = 0.0
    written: float = 0.0
    bytes: float = 0.0


class Predictor:
    """The models of time and memory for the stages of one parameter file.

    Args:
        sizes: of the models of the grid; None of those that nothing is known of.
    """

    def __init__(self, work: Work, sizes: Mapping[str, Size | None], device: Device) -> None:
        self.work, self.sizes, self.device = work, sizes, device
        self.params = work.params

    def loaded(self, stage: Stage, params: Params | None = None) -> LoadedModel | None:
        """The model and method of a stage; None where the model's size is not known."""
        params = params or self.params
        size = self.sizes.get(stage.run.model)
        if size is None:
            return None
        return LoadedModel.of(size, params.model(stage.run.model), params.method(stage.run.method))

    def of(
        self, stage: Stage, *, flops: float = 0.0, params: Params | None = None
    ) -> Estimate | None:
        """One stage; None where it depends on a model of unknown size.

        Args:
            flops: of another device, where the stage ran.
            params: other parameters, with which it ran.
        """
        speed = Speed(flops or self.device.flops)
        if stage.script == "train":
            works = self.work.trainings(stage.run, params)
            return self.training(stage, works, speed=speed, params=params)
        if stage.script in ("evaluate", "time_inference", "load_test"):
            return self._asking(stage, speed)
        if stage.script == "baselines":
            return self._baselines(stage)
        return Estimate(beside=self._handled(stage), bytes=self._stored(stage))

    def _baselines(self, stage: Stage) -> Estimate:
        """What needs no language model; nothing where the data set has none of it."""
        if not self.params.baselines_for(stage.run.dataset):
            return Estimate()
        grid, rows = self.params.grid, self.work.rows(stage.run.dataset)
        trained = sum(map(rows.training, grid.train_sizes)) * len(grid.seeds)
        return Estimate(beside=IMPORTS_S + ROW_S["baselines"] * trained, bytes=self._stored(stage))

    def training(
        self,
        stage: Stage,
        trainings: Sequence[Training],
        *,
        speed: Speed | None = None,
        params: Params | None = None,
    ) -> Estimate | None:
        """Trainings of a stage's model by its method, as `of`."""
        model = self.loaded(stage, params)
        if model is None:
            return None
        speed = speed or Speed(self.device.flops)
        peaks = [memory.of_training(model, work, self.device.kind) for work in trainings]
        taken = sum(
            seconds.of_training(model, work, speed, peak.activations + peak.optimizer)
            for work, peak in zip(trainings, peaks, strict=True)
        )
        return Estimate(
            seconds=taken,
            peak=max(peaks, key=lambda peak: peak.total),
            trained=sum(work.tokens for work in trainings),
            bytes=model.trainable * (4.0 if model.trains == "adapter" else model.width),
        )

    def _asking(self, stage: Stage, speed: Speed) -> Estimate | None:
        model = self.loaded(stage)
        if model is None:
            return None
        work = self.work.answering(stage.run)
        if stage.script == "evaluate":
            return self._evaluation(model, work, speed)
        settings = self.params.inference
        if stage.script == "load_test":
            held = (settings.hold_s + settings.longest_hold_s) / 2
            peak = memory.of_timing(model, work, 8, self.device.kind)
            return Estimate(min(RATES, settings.max_rates) * held, peak=peak)
        return self._timing(stage, model, work, speed)

    def _evaluation(self, model: LoadedModel, work: Answering, speed: Speed) -> Estimate:
        in_small_batches = self.device.kind == "cpu" and not work.limit
        room = min(work.batch_tokens, CPU_BATCH_TOKENS) if in_small_batches else work.batch_tokens
        forgetting = (
            seconds.of_forgetting(model, work.forgetting_rows, FORGETTING_TOKENS, speed)
            if work.forgetting_rows
            else 0.0
        )
        return Estimate(
            seconds=seconds.of_answering(model, work, speed, room),
            beside=forgetting,
            peak=memory.of_answering(model, work, self.device.kind),
            read=work.read_tokens,
            written=work.written_tokens,
            bytes=work.draws * work.rows * (400 + 5 * work.prompt),
        )

    def _timing(self, stage: Stage, model: LoadedModel, work: Answering, speed: Speed) -> Estimate:
        settings = self.params.inference
        sizes = settings.batch_sizes or [1, 4, 16, 64]
        prompts = min(settings.prompts, work.rows)
        method = self.params.method(stage.run.method)
        adapter = {} if isinstance(method, PromptingMethod) else getattr(method, "adapter", {})
        merged = [model.untouched()] if adapter.get("peft_type") in MERGED else []
        taken = 0.0
        for one in [model, *merged]:
            request = seconds.of_requests(one, work, 1, 1, speed)
            # few warm-ups are shown to be steady sooner
            warm_up = min(MAX_WARMUP_REQUESTS, MAX_WARMUP_S / request)
            single = max(warm_up, settings.warmup) + prompts * settings.repeats
            taken += request * single
            for size in sizes:
                batches = -(-prompts // size) * settings.repeats + 1
                if size > 1:
                    taken += seconds.of_requests(one, work, size, batches, speed)
        peak = memory.of_timing(model, work, max(sizes), self.device.kind)
        return Estimate(taken, peak=peak, bytes=2000.0)

    def _handled(self, stage: Stage) -> float:
        """Seconds of rows that a stage reads and writes."""
        dataset = stage.run.dataset
        counts = self.work.rows(dataset).counts if dataset else {}
        return ROW_S.get(stage.script, 0.0) * sum(counts.values())

    def _stored(self, stage: Stage) -> float:
        """Bytes of rows that a stage writes, twice: for its output, and in DVC's cache."""
        if not stage.run.dataset:
            return 0.0
        rows = self.work.rows(stage.run.dataset)
        each = sum(len(row["text"]) + 60 for row in rows.sample) / max(1, len(rows.sample))
        count = sum(rows.counts.values())
        if stage.run.train_size is not None:
            count = rows.training(stage.run.train_size)
        return 2 * each * count
