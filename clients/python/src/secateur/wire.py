"""The types of what goes over the wire.

`scripts/generate_wire.py` writes this file from `openapi.yaml`: do not edit it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict


class Accuracy(TypedDict):
    """Share of samples whose class of largest output is the label, by split."""

    test: float
    """Share on the test split, 0 to 1."""
    val: float
    """Share on the validation split, 0 to 1."""


class ArraySummary(TypedDict):
    """One array of a data set as it is stored."""

    dtype: str
    """NumPy's name of the element type, `uint8`."""
    name: str
    """The array's name, such as `x_val`."""
    shape: list[int]
    """Its dimensions, the samples first."""


class Artifact(TypedDict):
    """A file that a job made."""

    bytes: int
    content_type: str
    name: str
    """
    `model.pt`, `report.json`, `report.html`, `config.json`, `graph.json`, `log.txt`, with a judge `finalist-N.pt`,
    or with `triton` in the spec `triton.zip`.
    """
    sha256: str
    """Hexadecimal."""
    url: str
    """Where to download it."""


class ArtifactList(TypedDict):
    items: list[Artifact]


class Best(TypedDict):
    """
    A measured candidate: the judge's choice or, before and without one, the best by validation, where tuned ones go
    before screened ones.
    """

    candidate: int
    costs: Costs
    origin: str
    """The method that proposed it."""
    reduction: float
    """Share removed of the target's metric."""
    stage: Stage
    """The stage that measured it, `screen` or `tune`."""
    val_accuracy: NotRequired[float | None]
    """On the validation split; `null` without labels."""
    val_metric: NotRequired[float | None]
    """
    Without labels: how true the network is to the original on the validation split, by the metric that the report
    names.
    """


class CandidatePage(TypedDict):
    """A page of candidates, by index."""

    items: list[CandidateReport]
    next: NotRequired[int | None]
    """`after` of the next page; `null` on the last."""


class CandidateReport(TypedDict):
    """One configuration that was measured."""

    index: int
    """Place of the candidate in the job's list, from 0."""
    light_accuracy: NotRequired[float | None]
    """Validation accuracy after the light fine-tune."""
    light_metric: NotRequired[float | None]
    """After the light fine-tune; see `screened_metric`."""
    macs: int
    """Multiply-accumulates of one sample."""
    origin: str
    """The method or ranking that proposed it."""
    params: int
    """Elements of all parameters."""
    predicted_divergence: NotRequired[float | None]
    """Predicted KL divergence of its outputs from the original's, nats; with `sacp` and a data set only."""
    predicted_latency_ms: NotRequired[float | None]
    """By the job's latency table; with a latency target only."""
    predicted_value: NotRequired[float | None]
    """What the encoder predicts, with `regression`."""
    reduction: float
    """Share removed of the target's metric."""
    repaired_accuracy: NotRequired[float | None]
    """Validation accuracy after the repair, some steps of distillation."""
    repaired_metric: NotRequired[float | None]
    """After the repair; see `screened_metric`."""
    screened_accuracy: NotRequired[float | None]
    """Validation accuracy after surgery, repaired in closed form or with re-estimated batch norm statistics."""
    screened_metric: NotRequired[float | None]
    """
    Without labels, in the place of each of these accuracies: how true the network is to the original on the
    validation split, by the report's `metric`.
    """
    similarity: NotRequired[float | None]
    """Cosine between its embedding and the unpruned network's; with `sacp` and a contrastive encoder only."""
    tuned_accuracy: NotRequired[float | None]
    """Validation accuracy after the full fine-tune."""
    tuned_metric: NotRequired[float | None]
    """After the full fine-tune; see `screened_metric`."""
    widths: NotRequired[list[int]]
    """
    Kept channels of each coupled group that can be pruned, in the order of the model's `groups`; empty in jobs of
    before they were kept.
    """


class Constraints(TypedDict):
    """The limits that a job sets on the widths of its layers."""

    ignore: NotRequired[list[str]]
    """Names of layers (with `*` and `?`) whose output channels stay as they are; each has 1 to 512 characters."""
    layers: NotRequired[dict[str, LayerLimit]]
    """Limits by layer name (with `*` and `?`), 1 to 512 characters."""
    max_layer_reduction: NotRequired[UnitInterval]
    """No group loses a larger share of its channels."""
    round_to: NotRequired[Positive]
    """Kept channel counts are multiples of this."""


class Costs(TypedDict):
    """
    What a network costs; multiply-accumulates are of one sample through convolutions, linear layers and matrix
    products.
    """

    channels: int
    """Prunable channels, over all coupled groups."""
    latency_ms: NotRequired[float | None]
    """
    Milliseconds of one forward pass by the job's latency table: measured of the uncut network, predicted of others.
    With a latency target only.
    """
    macs: int
    """Multiply-accumulates of one sample."""
    params: int
    """Elements of all parameters, buffers not counted."""


class DataSpec(TypedDict):
    """How a data set of pictures, recordings or tables becomes arrays."""

    resize: NotRequired[Resize | None]
    """
    What is done with pictures that do not have the model's size. Absent: they are cropped where the model takes 64
    x 64 or more, and stretched where it takes less.
    """


class DatasetOut(TypedDict):
    """An uploaded data set."""

    bytes: int
    created_at: str
    id: str
    name: NotRequired[str | None]
    sha256: str
    """Hexadecimal."""
    summary: DatasetSummary
    """Arrays, splits and classes."""


class DatasetPage(TypedDict):
    """A page of data sets, newest first."""

    items: list[DatasetOut]
    next: NotRequired[str | None]
    """`after` of the next page; `null` on the last one."""


class DatasetSummary(TypedDict):
    """A description of a data set: its arrays, samples and classes."""

    arrays: list[ArraySummary]
    """All arrays, in the order of the file."""
    classes: NotRequired[int | None]
    """The largest label + 1 where the labels are whole numbers from 0, `null` for any other and without labels."""
    format: Format
    """The format of the file."""
    inputs: NotRequired[list[InputSummary]]
    """What is stored for each input of the model, in their order."""
    labelled: bool
    """Whether there is a label for each sample."""
    labels: NotRequired[LabelSummary | None]
    """The labels; `null` without any, and before they are read."""
    layout: Layout
    """A guess from the shape alone; the model's input decides."""
    sample_dtype: str
    """NumPy's name of the samples' element type; of several inputs the first's."""
    sample_shape: list[int]
    """The shape of one sample as it is stored; of several inputs the first's."""
    samples: SplitCounts
    """How many samples each split has."""
    source: NotRequired[SourceSummary | None]
    """What becomes arrays only in a job; `null` for a file of arrays."""


class Delivery(TypedDict):
    """Something that a job's webhook is told."""

    attempts: list[DeliveryAttempt]
    """Oldest first, the last 50."""
    created_at: str
    delivered_at: NotRequired[str | None]
    event: WebhookEvent
    id: str
    """The `webhook-id` of every attempt."""
    next_attempt_at: NotRequired[str | None]
    """When `status` is `pending`. While an attempt is under way, when it is given up for lost."""
    status: DeliveryStatus
    url: str


class DeliveryAttempt(TypedDict):
    """An attempt to deliver."""

    ended_at: NotRequired[str | None]
    """`null` while it is under way, and for ever when its server was lost."""
    error: NotRequired[str | None]
    """Why it brought nothing."""
    number: int
    started_at: str
    status_code: NotRequired[int | None]
    """Of the receiver's answer, when there was one."""


class DeliveryList(TypedDict):
    """The deliveries of a job, in the order of their events."""

    items: list[Delivery]


class Details(TypedDict):
    """What is for callers, not for strangers, who are told nothing of it."""

    disk: NotRequired[Disk | None]
    """Of the data folder."""
    sandbox: NotRequired[Sandbox | None]
    """What confines the engines of this server, as it was found at the start; not there when it runs none."""
    version: NotRequired[str | None]


class Disk(TypedDict):
    """How much room there is."""

    free_bytes: int
    reserve_bytes: int
    """What is kept free: with less, nothing is taken."""


class EncoderSpec(TypedDict):
    """The graph encoder of SACP."""

    configs: NotRequired[int]
    """Random rate vectors that it is trained on, each seen once per epoch."""
    epochs: NotRequired[int]
    """Passes over the training configurations."""
    hidden: NotRequired[int]
    """Width of the embedding."""
    layers: NotRequired[int]
    """Layers of the GCN; 2 is the one depth that the exact fast search is for."""
    negatives: NotRequired[int]
    """Random channel choices per rate vector."""
    objective: NotRequired[EncoderObjective]
    """What the encoder is trained for."""
    samples: NotRequired[int]
    """Random configurations that are measured for `regression`."""
    temperature: NotRequired[float]
    """Temperature of the InfoNCE loss."""


class Event(TypedDict):
    """Something that happened to a job."""

    data: dict[str, Any]
    type: Literal[
        "queued",
        "running",
        "stage",
        "reused",
        "progress",
        "task_finished",
        "task_retried",
        "best",
        "judgement_asked",
        "judged",
        "judgement_ended",
        "paused",
        "resumed",
        "succeeded",
        "failed",
        "cancelled",
    ]
    at: str
    id: int
    """Rises by one with every event of a job."""


class EventPage(TypedDict):
    """A page of events, oldest first."""

    items: list[Event]
    next: int
    """`after` of the next page; also on the last one, for later events."""


class ExpectedExport(TypedDict):
    """How a pruned file would be written, found by cutting every group to half its channels."""

    kind: ExportKind
    """Which way."""
    lost: NotRequired[list[str]]
    """What a recorded program would lack, one sentence each."""
    reason: NotRequired[str | None]
    """Why the program could not be patched; `null` when it can."""


class FileForm(TypedDict):
    """A form with one file."""

    file: FileBytes


class Finalist(TypedDict):
    """A network that a judge is asked about."""

    bytes: int
    candidate: int
    """What a score names it by."""
    macs: int
    """Multiply-accumulates of one sample."""
    origin: str
    """The method or ranking that proposed it."""
    params: int
    """Elements of all parameters."""
    predicted_latency_ms: NotRequired[float | None]
    """By the job's latency table; with a latency target only."""
    reduction: float
    """Share removed of the target's metric."""
    score: NotRequired[float | None]
    """The judge's; `null` before it was posted."""
    sha256: str
    """Of the archive, hexadecimal."""
    url: str
    """Where its TorchScript archive can be downloaded."""
    val_accuracy: NotRequired[float | None]
    """The job's own metric on the validation split: accuracy; `null` without labels."""
    val_metric: NotRequired[float | None]
    """Without labels: how true the network is to the original on the validation split."""


class FineTune(TypedDict):
    """How pruned networks are fine-tuned."""

    augment: NotRequired[list[Augmentation]]
    """Random changes of the training samples; empty for none."""
    batch_norm: NotRequired[BatchNorm]
    """What batch norm normalises by."""
    batch_size: NotRequired[int]
    """Samples per step."""
    blank: NotRequired[int]
    """The class of `ctc` that stands for nothing."""
    clip_norm: NotRequired[float | None]
    """Largest norm of all gradients together; longer ones are shortened to it. Absent: any."""
    distill: NotRequired[UnitInterval]
    """Weight of the distillation loss beside the one with labels."""
    ema: NotRequired[float | None]
    """
    Decay of an exponential moving average of the weights; the average is what is validated and kept. Absent: the
    weights themselves are.
    """
    epochs: NotRequired[int]
    """Epochs of the full fine-tune."""
    hints: NotRequired[float]
    """Weight of the distillation of hidden activations beside that of the outputs; 0 for none."""
    ignore_index: NotRequired[int | None]
    """The label of places that do not count, such as 255 for the borders in a segmentation; -100 never counts."""
    label_smoothing: NotRequired[float]
    """Share of every class label that is spread over all classes (Szegedy et al., 2016)."""
    light_epochs: NotRequired[int]
    """
    Epochs of every screened network's light fine-tune, after which the best `search.top_k` go on; with `sacp` only.
    """
    lr: NotRequired[float | None]
    """
    Peak learning rate. Absent: 0.05 with `sgd` and 0.001 with `adamw`, or a third, a tenth or a thirtieth of that
    where a trial of a few steps with the network ends at a loss lower by more than a twentieth; a fine-tune of less
    than 40 steps and the light one have no trial.
    """
    micro_batch: NotRequired[int | None]
    """
    Samples of one pass, 2 to `batch_size`; the gradients of a batch's passes add up, so that a step is the same
    within less memory, batch norm statistics aside. Absent: the whole batch, and half as many as often as memory
    runs out.
    """
    mixup: NotRequired[float | None]
    """
    Every sample is mixed with another one of its batch, and the loss is the mixture of both samples' (mixup, Zhang
    et al., 2018): alpha of the Beta distribution that the share is drawn from; 0.2 is usual. Absent: samples stay
    apart.
    """
    objective: NotRequired[Objective]
    """The loss that is minimised."""
    optimizer: NotRequired[Optimizer]
    """The optimiser; its learning rate follows a cosine after a linear warm-up."""
    outputs: NotRequired[list[OutputSpec]]
    """What the spec knows better of the model's outputs than the graph tells."""
    patience: NotRequired[int | None]
    """Epochs without a better one after which training ends. Absent: all epochs are trained."""
    precision: NotRequired[Precision]
    """The type that a step is computed in."""
    weight_decay: NotRequired[float]
    """Weight decay."""


class FreeSize(TypedDict):
    """A size of the inputs that the program computes with instead of expecting one."""

    dimensions: list[InputDimension]
    """The dimensions that have this size; they vary together."""
    may_grow: bool
    """Whether larger sizes run too; else only smaller ones do."""
    size: int
    """The size that the model was imported with."""
    step: int
    """What has to be added to it or taken from it; a power of two."""


class GroupSummary(TypedDict):
    """A coupled group: channels that must be cut together."""

    channels: int
    """Channels of the group."""
    name: str
    """Its first layer's name."""
    tensors: list[str]
    """Tensor axes that shrink with it, `layer1.0.conv1.weight:0`."""
    unprunable: NotRequired[str | None]
    """Why it is not pruned; `null` when it can be."""


class Health(TypedDict):
    status: str


class ImportanceSpec(TypedDict):
    """
    The canonical order of `sacp`: every configuration of its search, its sensitivities and its greedy allocation
    keep the channels of each group that come first in it. The classical methods have criteria of their own, with
    which they enter the screen as baselines too: L1 for `uniform` and `global_l1`, L2 for `global_l2`, both without
    normalisation.
    """

    criterion: NotRequired[Criterion]
    """The measure of one channel's importance."""
    normalisation: NotRequired[Normalisation]
    """The scale on which channels of different groups are compared."""


class InputDimension(TypedDict):
    """A dimension of an input of the model."""

    dimension: int
    """The dimension of one sample, from zero."""
    input: int
    """The input, from zero."""


class InputScaling(TypedDict):
    """How stored samples become inputs: the model sees `(stored - mean) / std`."""

    mean: PerChannel
    """What is subtracted from the stored values."""
    std: PerChannel
    """What the difference is divided by, greater than 0."""


class InputSpec(TypedDict):
    """One input of the model, as its samples are given to it."""

    dtype: NotRequired[str | None]
    """Type of the elements; absent: as the archive records it, else `float32`."""
    max: NotRequired[int | None]
    """
    The largest number that an integer input may hold, such as the size of a vocabulary less one; absent: what the
    embedding that reads the input has, else 0.
    """
    name: NotRequired[str | None]
    """
    The argument of `forward` that it is for. Inputs that all have a name may be given in any order; without, the
    order is that of the arguments.
    """
    shape: NotRequired[list[int]]
    """One sample's shape without the batch; `[]` is one number for each sample."""
    value: NotRequired[float | None]
    """
    Of an input that takes a number and no tensor, such as a sampling rate: the number, 0 or 1 for a truth value.
    The model is pruned for this number.
    """


class InputSummary(TypedDict):
    """What is stored for one input of the model."""

    dtype: str
    """NumPy's name of the element type."""
    name: str
    """The array's name, such as `x` or `x1`."""
    range: Range
    """The smallest and the largest number, over all splits."""
    shape: list[int]
    """The shape of one sample."""


class InspectionIn(TypedDict):
    """What an inspection needs to know."""

    input_shape: NotRequired[InputShape | None]
    """As in a job spec; a model that was traced brings its own."""
    inputs: NotRequired[list[InputSpec] | None]
    """As in a job spec, instead of `input_shape`."""


class InspectionOut(TypedDict):
    """A look at a model without pruning it."""

    error: NotRequired[JobError | None]
    """When `status` is `failed`: why the model cannot be pruned, or what is missing to say."""
    status: JobStatus


class Job(TypedDict):
    """A job."""

    best: NotRequired[Best | None]
    """The best network so far, once one is measured."""
    clone_of: NotRequired[str | None]
    """The job that it was made from."""
    created_at: str
    dataset_id: NotRequired[str | None]
    error: NotRequired[JobError | None]
    """When `status` is `failed`."""
    eta_s: NotRequired[float | None]
    """
    Seconds until the job ends once it runs, as an earlier job on the same model and data set with the same method
    tells; `null` without one, and in lists.
    """
    expires_at: NotRequired[str | None]
    """
    When the job goes with its artifacts, on a server that keeps ended jobs for some days; afterwards it is answered
    with 410.
    """
    finished_at: NotRequired[str | None]
    id: str
    labels: dict[str, str]
    model_id: str
    name: NotRequired[str | None]
    paused_at: NotRequired[str | None]
    """Since when the job is paused: `status` is what it was, and nothing more of it runs until it is resumed."""
    progress: dict[str, StageProgress]
    """By stage, for every stage that has begun."""
    result: NotRequired[JobResult | None]
    """When `status` is `succeeded`."""
    saved_s: float
    """
    Seconds of computing that the job need not spend, since earlier ones on the same model and data set had: what
    `reused` of the stages counts.
    """
    spec: JobSpec
    """As run, defaults filled in; in a list without `config`."""
    stage: Stage
    """The stage that runs, or the last one that did."""
    started_at: NotRequired[str | None]
    status: JobStatus


class JobError(TypedDict):
    """The error of a failed job."""

    code: str
    """Stable; `internal` for our own faults."""
    detail: str
    hint: NotRequired[str | None]
    node: NotRequired[str | None]
    """The node of the graph, the tensor or the archive record that is at fault."""
    stage: Stage
    title: str


class JobForm(TypedDict):
    """The one-shot form."""

    dataset: NotRequired[bytes | None]
    """`.npz`, `.safetensors`, or pictures, recordings and tables as docs/data.md describes them."""
    model: bytes
    """A TorchScript archive."""
    spec: JobSpec


class JobSpec(TypedDict):
    """
    What a job is to do. Serialising it gives the spec as run, defaults filled in. As JSON it has at most 65536
    bytes beside `config`, and 8388608 with it.
    """

    config: NotRequired[ReplayConfig | None]
    """The configuration to replay, the content of an earlier job's `config.json`; with `method: "config"` only."""
    constraints: NotRequired[Constraints]
    """The limits on the widths of the layers."""
    data: NotRequired[DataSpec | None]
    """How a data set of pictures becomes arrays."""
    diagnostics: NotRequired[bool]
    """
    Also makes the control experiment with random channels, whatever it costs; with `sacp` it is made anyway where
    it costs at most 5 % of the job.
    """
    encoder: NotRequired[EncoderSpec]
    """The graph encoder; with `sacp` only."""
    fine_tune: NotRequired[FineTune | None]
    """How pruned networks are trained; `null` prunes only."""
    importance: NotRequired[ImportanceSpec]
    """The order of the channels within a group; with `sacp` only."""
    input: NotRequired[InputScaling | None]
    """How stored samples become inputs; absent when they are inputs already."""
    input_shape: NotRequired[InputShape | None]
    """At most 16 inputs of 8 dimensions; a size is 1 to 65536, and one sample has at most 134217728 elements."""
    inputs: NotRequired[list[InputSpec] | None]
    """Shape, type and range of each input, instead of `input_shape`; within the same limits."""
    judge: NotRequired[JudgeSpec | None]
    """An outside judge, who chooses among the finalists; absent: the job's own metric chooses."""
    labels: NotRequired[dict[str, str]]
    """At most 32; a key has 1 to 63 characters, a value at most 256."""
    max_runtime_s: NotRequired[int | None]
    """
    Seconds that the tasks of the job may run, all added up. Time in the queue, at a pause or at a judge does not
    count. When they are over the job fails, and what it has found so far stays; absent: no limit.
    """
    method: NotRequired[Method]
    """How the widths are chosen."""
    name: NotRequired[str | None]
    """A name for the job, shown in lists."""
    preset: NotRequired[Preset | None]
    """Settings for a purpose, which fill in what the spec leaves out."""
    priority: NotRequired[int]
    """Of two jobs of one tenant the one with the greater number goes first."""
    recovery: NotRequired[RecoverySpec]
    """What is done with a cut network before it is trained; with a data set only."""
    requires: NotRequired[Requirements]
    """What a worker must have to take the job; absent: nothing."""
    search: NotRequired[SearchSpec]
    """The search; with `sacp` only."""
    seed: NotRequired[int]
    """Seed of all random choices."""
    target: Target
    """What is to be removed."""
    triton: NotRequired[TritonSpec | None]
    """A model for Triton beside the pruned file, the artifact `triton.zip`; absent: none."""
    webhook: NotRequired[WebhookSpec | None]
    """Where a server tells how the job went."""


class JobIn(JobSpec):
    """A job spec with what it is to work on."""

    clone_of: NotRequired[str | None]
    """
    An earlier job: its spec, model and data set are taken where this says nothing else. Objects are merged field by
    field, `null` takes a field back to its default; `target` is taken whole, and `fine_tune: null` prunes only.
    """
    dataset_id: NotRequired[str | None]
    """The same; `null` is none."""
    model_id: NotRequired[str | None]
    """May be left out with `clone_of`: it is that job's then."""


class JobPage(TypedDict):
    """A page of jobs, newest first."""

    items: list[Job]
    next: NotRequired[str | None]
    """`after` of the next page; `null` on the last one."""


class JobResult(TypedDict):
    """The figures of a job that succeeded, out of its report."""

    base: NetworkReport
    pruned: NetworkReport
    reduction: dict[str, float]
    """
    Share removed, by metric (`flops_reduction`, `params_reduction`, `channel_reduction`, `latency_reduction` as
    measured).
    """
    winner: str
    """Which method the network came from."""


class JudgeSpec(TypedDict):
    """
    A judge outside the service: the job waits before the export until a score was posted for every finalist, and
    the best of them is exported. When the time is over before, the job's own metric chooses. The finalists are what
    was fully tuned: `search.top_k` networks and the best baseline with `sacp`, one network with the other methods,
    whose score is recorded; where nothing is tuned, as many of those that were screened. Networks that break
    `target.max_metric_drop` are not among them.
    """

    higher_is_better: NotRequired[bool]
    """Whether the greater score is the better one, as with mAP; `false` for an error rate."""
    name: NotRequired[str | None]
    """What the judge measures, for the report."""
    timeout_s: NotRequired[int]
    """Seconds that the judge has from when it is asked."""


class Judgements(TypedDict):
    """A judgement and its finalists."""

    asked_at: NotRequired[str | None]
    """Once it was asked for."""
    deadline: NotRequired[str | None]
    """When the job's own metric chooses, unless every finalist has a score."""
    decided_by: NotRequired[DecidedBy | None]
    """Once it is decided."""
    finalists: list[Finalist]
    """The best by the job's own metric first."""
    higher_is_better: NotRequired[bool | None]
    """Whether the greater score is the better one; `null` without a judge."""
    name: NotRequired[str | None]
    """What the judge measures, as the spec names it."""
    reason: NotRequired[str | None]
    """Why it was not the judge, a sentence."""
    state: JudgementState
    winner: NotRequired[int | None]
    """The candidate that is exported, once it is decided."""


class Key(TypedDict):
    """A key, without its secret."""

    created_at: str
    expires_at: NotRequired[str | None]
    id: str
    last_used_at: NotRequired[str | None]
    """To the minute."""
    name: str
    revoked_at: NotRequired[str | None]
    scope: Scope
    tenant: str


class KeyIn(TypedDict):
    """A key that is to be made."""

    expires_in_days: NotRequired[int | None]
    """How long it is good for; for ever when it is not given."""
    name: str
    """What people call it, 1 to 100 characters."""
    scope: NotRequired[Scope]


class KeyPage(TypedDict):
    """A page of keys, newest first."""

    items: list[Key]
    next: NotRequired[str | None]
    """`after` of the next page; `null` on the last one."""


class LabelSummary(TypedDict):
    """What is stored as labels."""

    are_distributions: bool
    """Whether the numbers of every sample are no less than 0 and add up to 1."""
    are_whole: bool
    """Whether all of them are whole numbers."""
    dtype: str
    """NumPy's name of the element type."""
    range: Range
    """The smallest and the largest number, over all splits and beside -100, which PyTorch's losses leave out."""
    shape: list[int]
    """The shape of what belongs to one sample; empty for one number."""


class Latency(TypedDict):
    """Wall time of one forward pass."""

    batch: int
    """Samples in one forward pass."""
    device: str
    """The device, `cpu` or `cuda:0`."""
    p50: float
    """Milliseconds."""
    p95: float
    """Milliseconds."""
    runs: int
    """Forward passes timed."""
    threads: int
    """Compute threads."""


class LayerLimit(TypedDict):
    """The limit of the layers that one pattern names."""

    max_reduction: UnitInterval
    """Largest share of the output channels that these layers may lose."""


class LayerSummary(TypedDict):
    """A layer of the model as `inspect` and `GET /v1/models/{id}` show it."""

    channels_in: NotRequired[int | None]
    """Input and output channels of a layer with weights, else of its tensors."""
    channels_out: NotRequired[int | None]
    """Output channels; see `channels_in`."""
    group: NotRequired[str | None]
    """Name of the coupled group whose channels it produces; `null` when it produces none."""
    layer: str
    """Name of the layer."""
    macs: int
    """Multiply-accumulates of one sample."""
    params: int
    """Elements of its parameters."""
    type: str
    """The operator, `conv2d`."""
    unprunable: NotRequired[str | None]
    """Why its output channels cannot be cut; `null` when they can."""


class ModelOut(TypedDict):
    """An uploaded model."""

    bytes: int
    created_at: str
    id: str
    inspection: NotRequired[InspectionOut | None]
    """The latest inspection that was asked for; an upload asks for one."""
    name: NotRequired[str | None]
    sha256: str
    """Hexadecimal."""
    summary: NotRequired[ModelSummary | None]
    """
    Layers, groups, costs, limits and what keeps more from going; `null` until an inspection or a job has imported
    the model.
    """


class ModelOutput(TypedDict):
    """What is known of one tensor that the model returns."""

    axis: NotRequired[int | None]
    """The axis of the classes, of the vector, or of the channels of values; counted from 0, the batch included."""
    feeds: NotRequired[list[int]]
    """The returned tensors that are computed from this one, which is a step on the way there."""
    index: int
    """Which of the returned tensors, in reading order, from 0."""
    kind: OutputKind
    """What its elements are."""
    name: str
    """Where it stands in what the model returns: `0`, `1.scores`; empty where that is one tensor."""
    presumed: bool
    """Whether the shape alone speaks for the kind."""
    squashing: Squashing
    """What the model makes of the scores at its end."""


class ModelPage(TypedDict):
    """A page of models, newest first."""

    items: list[ModelOut]
    next: NotRequired[str | None]
    """`after` of the next page; `null` on the last one."""


class ModelSummary(TypedDict):
    """`summary.json`: what the graph stage knows of a model."""

    advice: NotRequired[list[str]]
    """What the user could do to have more pruned, in sentences."""
    base: Costs
    """What the uncut network costs."""
    connections: NotRequired[list[list[Any]]]
    """Between what data flow, by places: those in `layers`, and behind them those in `joins`."""
    export: NotRequired[ExpectedExport | None]
    """
    How a pruned file of this model would be written; `null` when that is not known: nothing can be pruned, or the
    import took so long that it was not tried.
    """
    free_sizes: NotRequired[list[FreeSize]]
    """Sizes of the inputs, besides the batch, that the program leaves open."""
    groups: list[GroupSummary]
    """Every coupled channel group, those that cannot be pruned included."""
    inputs: list[list[int]]
    """Shapes of one sample of each input."""
    joins: NotRequired[list[str]]
    """Operators that are no layers and in which data of several meet, such as `add`."""
    layers: list[LayerSummary]
    """Every layer, in program order."""
    log10_space: NotRequired[float]
    """Logarithm to base 10 of the number of configurations that default constraints allow."""
    obstacles: NotRequired[list[Obstacle]]
    """The nodes that no channel can pass, those that hold most channels first."""
    outputs: NotRequired[list[ModelOutput]]
    """What the tensors mean that the model returns."""
    reachable: dict[str, float]
    """Largest share that default constraints allow to remove, by metric."""
    specialisations: NotRequired[list[str]]
    """
    Branches and loops of the program that depend on the size of the input, by module and line; those of the given
    size were taken.
    """


class NetworkReport(TypedDict):
    """One network, before or after."""

    accuracy: NotRequired[Accuracy | None]
    """`null` without labels."""
    bytes: int
    """Of the TorchScript file."""
    latency_ms: Latency
    """Wall time of one forward pass, milliseconds."""
    macs: int
    """Multiply-accumulates of one sample."""
    params: int
    """Elements of all parameters."""


class NewKey(Key):
    """A new key, with its secret."""

    secret: str
    """What goes behind `Authorization: Bearer`. It is shown this once."""


class WebhookSecret(TypedDict):
    """A secret that signs deliveries, without the secret itself."""

    created_at: str
    id: str
    retires_at: NotRequired[str | None]
    """From when on it signs nothing; `null` for the newest."""
    tenant: str
    was_shown: bool
    """`false` for the one that was made by itself, since a delivery had to be signed: nobody knows it."""


class NewWebhookSecret(WebhookSecret):
    """A new secret."""

    secret: str
    """What receivers verify with, `whsec_…`. It is shown this once."""


class Obstacle(TypedDict):
    """A node that no channel can pass."""

    channels: int
    """Channels, of the layers before and after, that are kept as they are because of it."""
    node: str
    """Name of the node, as in the list of layers."""
    operator: str
    """`aten::cumsum`."""
    reason: str
    """The reason why no channel passes, as the middle of a sentence."""


class OutputSpec(TypedDict):
    """What a job says of one output of its model, in the place of what the graph tells."""

    axis: NotRequired[int | None]
    """
    The axis of the classes, of the vector or of the channels; negative ones count from the end. Absent: as found.
    """
    index: NotRequired[int | None]
    """Which of the returned tensors, in reading order, from 0; this or `name`."""
    kind: NotRequired[OutputKind | None]
    """What its elements are; absent: as found."""
    loss: NotRequired[DistillationLoss | None]
    """The distillation loss; absent: what fits the kind."""
    name: NotRequired[str | None]
    """The place in what the model returns, as an inspection shows it."""
    temperature: NotRequired[float | None]
    """
    What the class scores are divided by in `kl`. Absent: 4 for one distribution a sample, as is usual for
    classifiers (Hinton et al., 2015), and 1 for maps and sequences.
    """
    weight: NotRequired[float | None]
    """
    Weight of its distillation loss beside those of the other outputs. Absent: 1, or 0.1 where another output is
    computed from this one, as with features that are returned beside the result.
    """


class PresignedUpload(TypedDict):
    """A place in the bucket for one file."""

    expires_at: str
    """When the URL stops working. What was put there waits for a day."""
    id: str
    """For `?upload=` of `POST /v1/models` or `POST /v1/datasets`."""
    max_bytes: int
    """Of the file at most."""
    url: str
    """Where the file is to be put by `PUT`, without a key of this server."""


class Problem(TypedDict):
    """The body of every answer that is not a success."""

    code: str
    """Stable; what a client should look at."""
    detail: str
    hint: NotRequired[str | None]
    node: NotRequired[str | None]
    """The field, node, tensor or record that is at fault."""
    status: int
    title: str
    type: str
    """Always `about:blank`: the code tells problems apart."""


class Quota(TypedDict):
    """One quota."""

    most: NotRequired[int | None]
    """`null` without a limit."""
    used: int


class Quotas(TypedDict):
    """
    What the caller's tenant has and may have. Callers without a key, on a server without keys, have no quotas.
    """

    open_jobs: Quota
    """Jobs that are queued or running."""
    requests_per_minute: NotRequired[int | None]
    """Requests that a key may make in a minute; `null` without a limit."""
    stored_bytes: Quota
    """Bytes of models, data sets and artifacts, and of what unfinished jobs have prepared of data sets."""


class Range(TypedDict):
    """The smallest and the largest of some numbers; 0 and 0 of none."""

    largest: float
    """The largest."""
    least: float
    """The smallest."""


class Readiness(Details):
    checks: list[ReadinessCheck]
    """Everything that the server needs, with its state in words."""
    status: str


class ReadinessCheck(TypedDict):
    """One thing that a server needs."""

    name: Need
    ok: bool
    state: str
    """In words."""


class Reading(TypedDict):
    """What a task measured after one of its steps: the losses of an epoch, the accuracy of a candidate."""

    candidate: NotRequired[int | None]
    """The network that the step was for, where a task has steps of several."""
    figures: dict[str, float]
    """The figures by name, such as `training_loss` and `validation_accuracy` (0 to 1)."""
    step: int
    """Number of the step: epochs count from 1, a candidate has its number in the job."""
    unit: str
    """What the steps are: `epoch`, `candidate`."""


class RecoverySpec(TypedDict):
    """What is done with a cut network before any training, where there is a data set."""

    closed_form: NotRequired[ClosedForm]
    """
    Whether layers that lost inputs are fitted anew, in closed form, to what they gave in the original: `true`,
    `false`, or `"auto"`, which keeps for each network what is better on the validation split. Without, batch norm
    statistics are re-estimated.
    """
    samples: NotRequired[int]
    """Samples that they are fitted on at the most; fewer where their activations do not fit into memory."""


class ReplayConfig(TypedDict):
    """The content of `config.json`: a configuration by group name, replayable on the same model."""

    format: int
    """Version of the format, which is 1."""
    groups: dict[str, list[int]]
    """Group name to the kept channels, ascending; a group that is not named keeps all."""


class Requirements(TypedDict):
    """What a worker must have to take a task of the job. A job that no worker can take waits."""

    device: NotRequired[RequiredDevice | None]
    """Absent: whatever the worker has."""
    memory_bytes: NotRequired[int | None]
    """Bytes of main memory that the worker has for each of its slots."""


class Resize(TypedDict):
    """
    The rule for pictures. Without a rule pictures of the model's size stay as they are, and others are cropped
    where the model takes 64 x 64 or more, and stretched where it takes less.
    """

    policy: ResizePolicy
    """What is done."""
    size: NotRequired[int | None]
    """
    The shorter side before the middle is cut out, `policy: crop` only; by default the model's height times 256 /
    224, rounded.
    """


class Sandbox(TypedDict):
    """The sandbox of one engine as it is."""

    layers: list[str]
    """Names of the layers in force, in the order in which they were applied, such as `landlock-7` and `seccomp`."""
    missing: list[str]
    """Names of the layers that are not, and why."""
    mode: Mode
    """How much of the sandbox had to be in force."""
    reasons: NotRequired[dict[str, str]]
    """The reason why each missing layer is not in force, by its name."""


class ScoreIn(TypedDict):
    """What a judge says of one finalist."""

    candidate: int
    """The finalist."""
    score: float
    """A finite number."""


class SearchSpec(TypedDict):
    """The search of SACP."""

    candidates: NotRequired[Positive]
    """Configurations to score."""
    ranking: NotRequired[RankingChoice]
    """What orders the candidates."""
    rate_step: NotRequired[float]
    """Step between the rates that a group may be pruned by."""
    refine: NotRequired[int | None]
    """
    Configurations that evolutionary moves from the best then try, 0 for none; a fifth of `candidates` when absent.
    """
    repair_steps: NotRequired[int | None]
    """
    Steps of distillation that every screened network gets before the better third of them is chosen, at most one
    pass over the training split, 0 for none; with fine-tuning only. Absent: none with `recovery.closed_form`, and
    50 without, since after a large reduction re-estimated batch norm statistics alone leave all of them near
    chance.
    """
    top_k: NotRequired[int]
    """Screened networks that are fully fine-tuned."""
    top_m: NotRequired[int]
    """Configurations that are screened, beside the baselines."""


class Session(TypedDict):
    """Who the caller is."""

    csrf_token: NotRequired[str | None]
    """What goes into `X-CSRF-Token`; `null` when the caller shows a key, or nothing, instead of a cookie."""
    expires_at: NotRequired[str | None]
    key_id: NotRequired[str | None]
    """`null` on a server without keys."""
    scope: Scope
    tenant: str


class SessionIn(TypedDict):
    """A key to open a session with; `Authorization: Bearer KEY` does the same."""

    key: str


class SourceSummary(TypedDict):
    """A description of a data set in one of these formats."""

    classes: list[str]
    """The names of the classes in the order of their numbers; empty where the file does not name them."""
    format: SourceFormat
    """The format of the file."""
    ignored: int
    """Files in the archive that are no samples and are passed over."""
    labels: Labels
    """What belongs to a sample."""
    samples: SplitCounts
    """Samples of each split that the file has; what is missing is taken off `train` later."""


class SplitCounts(TypedDict):
    """The number of samples in each split, those counted that are taken off `x`."""

    test: int
    """Samples to measure on at the end."""
    train: int
    """Samples to learn from."""
    val: int
    """Samples to compare candidates on."""


class StageProgress(TypedDict):
    """A stage's progress over all its tasks."""

    deadline: NotRequired[str | None]
    """Until when the stage waits for somebody outside; `judge` only."""
    done: int
    eta_s: NotRequired[float | None]
    """Seconds until the stage is done at that rate."""
    note: NotRequired[str | None]
    """A figure worth showing, from the task that spoke last."""
    rate: NotRequired[float | None]
    """Units per second over all running tasks; `null` while nothing is measured."""
    reused: int
    """Of `done`, what was taken over from earlier jobs on the same model and data set."""
    total: int
    unit: str
    """What is counted: `epochs`, `candidates`, `steps`."""


class Target(TypedDict):
    """Exactly one of the reductions."""

    channel_reduction: NotRequired[Reduction | None]
    """Share of the channels that can be pruned."""
    flops_reduction: NotRequired[Reduction | None]
    """
    Share of the multiply-accumulates of one sample: those of convolutions, linear layers, recurrent layers and
    matrix products.
    """
    latency_reduction: NotRequired[Reduction | None]
    """Share of the time of one forward pass at batch 1 on the device that runs the job."""
    max_metric_drop: NotRequired[UnitInterval | None]
    """
    The job fails cleanly when the metric of the report drops by more than this on the validation split: accuracy,
    or without labels how true the network is to the original, which starts at 1. Its former name,
    `max_accuracy_drop`, still works.
    """
    params_reduction: NotRequired[Reduction | None]
    """Share of the parameters."""


class TritonSpec(TypedDict):
    """
    The artifact `triton.zip`: the pruned file with a `config.pbtxt` for NVIDIA's Triton Inference Server, to be
    unpacked in a model repository. The job is refused where Triton's backend for PyTorch does not take what the
    model takes, or what it returns.
    """

    max_batch_size: NotRequired[int]
    """As many samples as Triton may put together into one call."""
    name: NotRequired[str]
    """The model's name in the repository: letters, digits, `_`, `-` and `.`, which is not the first."""


class Upload(TypedDict):
    """A resumable upload."""

    created_at: str
    end: NotRequired[End | None]
    """What it became, once it is whole."""
    expires_at: str
    """When it goes unless something is added to it."""
    id: str
    kind: Kind
    length: int
    """Bytes of the whole file."""
    name: NotRequired[str | None]
    received: int
    """Bytes that have come."""


class WebhookSecretIn(TypedDict):
    """How a secret takes the place of those before it."""

    grace_hours: NotRequired[int]
    """How long the others sign beside it."""


class WebhookSecretList(TypedDict):
    """The secrets in force, newest first, ten at most."""

    items: list[WebhookSecret]


class WebhookSpec(TypedDict):
    """
    A URL to which a server posts a signed JSON document when one of the events happens. It is for servers alone: it
    goes to no engine and into no report.
    """

    events: NotRequired[list[WebhookEvent]]
    """Which events are told; absent: all that end a job."""
    url: str
    """`https://`, a host, maybe a port and a path; without user, password and fragment."""


Augmentation: TypeAlias = Literal["hflip", "crop", "color_jitter", "rand_augment"]
"""A random change of the training samples."""

BatchNorm: TypeAlias = Literal["auto", "train", "frozen"]
"""What batch norm normalises by while a network is trained."""

ClosedForm: TypeAlias = bool | str
"""`true`, `false` or `"auto"`."""

Criterion: TypeAlias = Literal["l1", "l2", "bn_scale", "fpgm", "taylor", "reconstruction"]
"""How a channel's slice of a tensor is scored."""

DecidedBy: TypeAlias = Literal["judge", "metric"]
"""What chose the network that is exported."""

DeliveryStatus: TypeAlias = Literal["pending", "delivered", "failed"]
"""Where a delivery is in its life."""

DistillationLoss: TypeAlias = Literal["kl", "bce", "cosine", "mse", "huber", "l1"]
"""How far an output is from the original's."""

EncoderObjective: TypeAlias = Literal["contrastive", "regression"]
"""What the graph encoder is trained for."""

End: TypeAlias = dict[str, Any]
"""What became of an upload that was whole."""

EventBody: TypeAlias = dict[str, Any]
"""One thing that happened."""

ExportKind: TypeAlias = Literal["patched", "recorded"]
"""Which of the two ways a file was written in."""

FileBytes: TypeAlias = bytes
"""The bytes of a file, as the API's description has them."""

Format: TypeAlias = Literal["npz", "safetensors", "source"]
"""The file format of a data set."""

InputShape: TypeAlias = list[int] | list[list[int]]
"""One sample's shape without the batch, or a list of shapes for a model with several inputs."""

JobStatus: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""Where a job is in its life."""

JudgementState: TypeAlias = Literal["no_judge", "not_asked", "open", "decided", "ended"]
"""Where a judgement is."""

Kind: TypeAlias = Literal["model", "dataset"]
"""What an upload will be."""

Labels: TypeAlias = Literal["none", "classes", "masks"]
"""What belongs to a sample."""

Layout: TypeAlias = Literal["nchw", "nhwc", "as_is"]
"""How the dimensions of a stored sample become those of the model's input."""

Method: TypeAlias = Literal["sacp", "uniform", "global_l1", "global_l2", "config"]
"""How the widths are chosen."""

Mode: TypeAlias = Literal["require", "auto", "False"]
"""What becomes of a task when the kernel cannot confine it."""

Need: TypeAlias = Literal["service", "database", "disk", "blobs", "engine", "notifications"]
"""What a server needs, in the order in which a lack is told."""

Normalisation: TypeAlias = Literal["none", "group"]
"""How the tensors of a group are weighed against each other."""

Objective: TypeAlias = Literal["auto", "cross_entropy", "bce", "mse", "l1", "huber", "ctc", "distill"]
"""The loss that fine-tuning minimises. Each of those with labels is mixed with distillation by `distill`."""

Optimizer: TypeAlias = Literal["auto", "sgd", "adamw"]
"""The optimiser of the fine-tune."""

OutputKind: TypeAlias = Literal["categorical", "bernoulli", "unit", "values", "ignore"]
"""What the elements of an output are."""

PerChannel: TypeAlias = float | list[float]
"""One number for all channels, or one for each."""

Positive: TypeAlias = int
"""A whole number of at least 1."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""
The type that convolutions and matrix products are computed in while a network is trained; weights, gradients,
validation and the report stay what they are.
"""

Preset: TypeAlias = Literal["quick", "paper"]
"""Settings for a purpose; what the spec says itself wins."""

RankingChoice: TypeAlias = Literal["similarity", "sensitivity"]
"""What orders the candidates of a search."""

Reduction: TypeAlias = float
"""A share that is removed, strictly between 0 and 1."""

RequiredDevice: TypeAlias = Literal["cpu", "gpu"]
"""What computes."""

ResizePolicy: TypeAlias = Literal["crop", "stretch", "none"]
"""What is done with a picture that does not have the model's size."""

Scope: TypeAlias = Literal["read", "submit", "admin"]
"""What a key allows; each scope includes those before it."""

SourceFormat: TypeAlias = Literal[
    "image_folder", "segmentation", "sound_folder", "web_dataset", "parquet", "cifar", "idx"
]
"""The format of a data set that is converted before it is used."""

Squashing: TypeAlias = Literal["none", "softmax", "log_softmax", "sigmoid", "log_sigmoid"]
"""What the model itself makes of the scores before it returns them."""

Stage: TypeAlias = Literal[
    "inspect",
    "import",
    "prepare",
    "graph",
    "latency",
    "importance",
    "calibration",
    "encoder",
    "sensitivity",
    "search",
    "screen",
    "repair",
    "light_tune",
    "tune",
    "control",
    "finalists",
    "judge",
    "export",
    "verify",
]
"""A stage of a job."""

UnitInterval: TypeAlias = float
"""A weight between 0 and 1, both included."""

WebhookEvent: TypeAlias = Literal["succeeded", "failed", "cancelled", "judging"]
"""What a job's webhook may be told of."""
