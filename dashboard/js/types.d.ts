// What the API answers with, as far as the dashboard reads it; `openapi.yaml` has all of it. For the type checker alone.

export type Status = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
export type Accuracy = { val: number; test: number };
export type Costs = { macs: number; params: number; channels: number; latency_ms?: number | null };
export type Network = {
    macs: number;
    params: number;
    bytes: number;
    accuracy?: Accuracy | null;
    latency_ms: { p50: number; p95: number; batch: number; threads: number; device: string };
};
export type StageProgress = {
    done: number;
    total: number;
    unit: string;
    rate?: number | null;
    eta_s?: number | null;
    note?: string | null;
    reused: number;
};
export type Target = Record<string, number | null>;
export type Spec = { target: Target; method: string; preset?: string | null; name?: string | null } & Record<
    string,
    unknown
>;
export type Best = {
    candidate: number;
    origin: string;
    stage: string;
    costs: Costs;
    reduction: number;
    val_accuracy?: number | null;
    val_metric?: number | null;
};
export type JobError = {
    code: string;
    title: string;
    detail: string;
    stage: string;
    node?: string | null;
    hint?: string | null;
};
export type Job = {
    id: string;
    name: string | null;
    status: Status;
    stage: string;
    progress: Record<string, StageProgress>;
    eta_s: number | null;
    saved_s: number;
    best: Best | null;
    result: { winner: string; base: Network; pruned: Network; reduction: Record<string, number> } | null;
    error: JobError | null;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
    paused_at: string | null;
    expires_at: string | null;
    clone_of: string | null;
    spec: Spec;
    model_id: string;
    dataset_id: string | null;
    labels: Record<string, string>;
};
export type Page<T> = { items: T[]; next: string | null };
export type Candidate = {
    index: number;
    origin: string;
    macs: number;
    params: number;
    reduction: number;
    widths?: number[];
    similarity?: number | null;
    predicted_divergence?: number | null;
    predicted_latency_ms?: number | null;
    predicted_value?: number | null;
} & Record<string, number | null | undefined | string | number[]>;
export type Finalist = {
    candidate: number;
    origin: string;
    macs: number;
    params: number;
    reduction: number;
    val_accuracy: number | null;
    val_metric?: number | null;
    url: string;
    bytes: number;
    score: number | null;
};
export type Judgements = {
    state: 'no_judge' | 'not_asked' | 'open' | 'decided' | 'ended';
    name: string | null;
    higher_is_better: boolean | null;
    deadline: string | null;
    finalists: Finalist[];
    decided_by: string | null;
    reason: string | null;
    winner: number | null;
};
export type JobEvent = { id: number; at: string; type: string; data: Record<string, any> };
export type LayerWidth = {
    layer: string;
    type: string;
    group?: string;
    channels_before: number;
    channels_after: number;
    macs_before: number;
    macs_after: number;
};
export type Report = {
    winner: string;
    base: Network;
    pruned: Network;
    layers: LayerWidth[];
    warnings: string[];
    metric?: { name: string; higher_is_better: boolean; base: Accuracy; pruned: Accuracy } | null;
    candidates: Candidate[];
    frontier: Record<string, { candidate: number; origin: string; macs: number; accuracy: number }[]>;
    equivalence?: { max_abs_diff: number; tolerance: number };
} & Record<string, any>;
export type Artifact = { name: string; bytes: number; sha256: string; content_type: string; url: string };
export type Layer = {
    layer: string;
    type: string;
    channels_in: number | null;
    channels_out: number | null;
    group: string | null;
    macs: number;
    params: number;
    unprunable: string | null;
};
export type Group = { name: string; channels: number; tensors: string[]; unprunable: string | null };
export type Summary = {
    inputs: number[][];
    base: Costs;
    layers: Layer[];
    connections?: [number, number][];
    joins?: string[];
    groups: Group[];
    reachable: Record<string, number>;
    log10_space: number;
    obstacles: { node: string; operator: string; reason: string; channels: number }[];
    specialisations: string[];
    free_sizes: { dimensions: { input: number; dimension: number }[]; size: number; step: number; may_grow: boolean }[];
    outputs: { index: number; name: string; kind: string; squashing: string }[];
    export: { kind: string; reason: string | null; lost: string[] } | null;
    advice: string[];
};
export type Model = {
    id: string;
    name: string | null;
    sha256: string;
    bytes: number;
    created_at: string;
    summary: Summary | null;
    inspection: { status: Status; error: JobError | null } | null;
};
export type Dataset = {
    id: string;
    name: string | null;
    bytes: number;
    created_at: string;
    summary: {
        format: string;
        samples: { train: number; val: number; test: number };
        sample_shape: number[];
        sample_dtype: string;
        layout: 'nchw' | 'nhwc' | 'as_is';
        labelled: boolean;
        classes: number | null;
    };
};
export type Session = {
    tenant: string;
    scope: 'read' | 'submit' | 'admin';
    key_id: string | null;
    csrf_token: string | null;
    expires_at: string | null;
};
export type Key = {
    id: string;
    name: string;
    tenant: string;
    scope: string;
    created_at: string;
    last_used_at: string | null;
    expires_at: string | null;
    revoked_at: string | null;
};
export type Quotas = {
    open_jobs: { used: number; most: number | null };
    stored_bytes: { used: number; most: number | null };
    requests_per_minute: number | null;
};
export type ProblemDocument = {
    code: string;
    title: string;
    status: number;
    detail: string;
    hint?: string | null;
    node?: string | null;
};
export type Schema = {
    type?: string | string[];
    description?: string;
    default?: unknown;
    enum?: string[];
    const?: unknown;
    properties?: Record<string, Schema>;
    required?: string[];
    items?: Schema;
    oneOf?: Schema[];
    allOf?: Schema[];
    additionalProperties?: boolean | Schema;
    minimum?: number;
    maximum?: number;
    exclusiveMinimum?: number;
    exclusiveMaximum?: number;
    format?: string;
    maxItems?: number;
    $ref?: string;
};
/** A page that is shown: what to do when it is left. */
export type Leave = () => void;
/** Something that lit-html can draw. */
export type Drawn = unknown;
