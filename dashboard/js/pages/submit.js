// A new job: a model, maybe a data set, a target, and whatever of the spec shall not be as usual. Also an earlier job with changes.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { live } from '../../vendor/lit-html/directives/live.js';
import { get, post, Problem } from '../server/api.js';
import { poll } from '../server/poll.js';
import { announce, go, setTitle } from '../router.js';
import { bytes, capital, METRICS, metricOf, percent, prose, short, shortId, words } from '../text.js';
import { Draft } from '../submit/draft.js';
import { Drop } from '../submit/drop.js';
import { field, idOf } from '../submit/fields.js';
import { shapeOf } from '../submit/schema.js';
import { loading, problemPanel, wordsOf } from '../view/panel.js';
import { hasEnded } from '../view/status.js';

/** @import { Dataset, Job, Model, Schema } from '../types.js' */
/** @import { Description } from '../submit/schema.js' */

const ESSENTIALS = ['name', 'preset', 'method', 'input'];
/** What has a control of its own. */
const APART = ['target', 'fine_tune'];
/** What is an object and is written as one: nobody makes it by hand. */
const AS_JSON = ['config'];
/** The sections in the order in which people look for them, and what is in them; others follow. @type {Record<string, string>} */
const SECTIONS = {
    search: 'How many configurations are looked at, and how they are ranked.',
    constraints: 'Layers that stay as they are, and how narrow the others may get.',
    recovery: 'The repair in closed form, before any training.',
    importance: 'Which channels of a group go first.',
    encoder: 'The graph encoder that ranks configurations.',
    data: 'How pictures, recordings and tables become arrays.',
    judge: 'Somebody outside who chooses among the finalists.',
    triton: 'A model for Triton’s model repository, beside the pruned file.',
    requires: 'What a worker must have to take the job.',
    webhook: 'Who is told when the job has ended.',
};
const CHOICES = 20;
/** The code of an inspection that lacks the shape of the input. */
const NO_SHAPE = 'input_shape';

/** @type {import('../router.js').PageOf} */
export const submitPage = {
    title: 'New job',
    open(host, _, query) {
        const clone = query.get('clone');
        /** @type {Description | null} */
        let api = null;
        /** @type {Job | null} */
        let earlier = null;
        /** @type {Model | null} */
        let model = null;
        /** @type {Dataset | null} */
        let dataset = null;
        let hasDataset = true;
        /** @type {Model[]} */
        let models = [];
        /** @type {Dataset[]} */
        let datasets = [];
        /** @type {unknown} */
        let problem = null;
        /** @type {Map<string, string>} */
        let problems = new Map();
        let general = '';
        let hint = '';
        let isBusy = false;
        let isLeft = false;
        const named = Object.keys(METRICS).find((name) => query.has(name));
        let metric = named ?? 'flops_reduction';
        let share = named ? Number(query.get(named)) : 0.5;
        const draft = new Draft();
        /** Models and data sets that were looked at together. @type {Set<string>} */
        const inspected = new Set();

        const modelDrop = new Drop({
            id: 'model',
            label: 'Model',
            help: 'A TorchScript file, as torch.jit.save writes it. Drop it here or choose it.',
            accept: '.pt,.pth,.ts,.jit,.torchscript,.zip',
            path: '/v1/models',
            changed: draw,
            arrived(answer) {
                model = answer;
                problems.delete('model_id');
                watchInspection();
            },
        });
        const datasetDrop = new Drop({
            id: 'dataset',
            label: 'Data set, if there is one',
            help: 'Arrays x and y as .npz or .safetensors, or pictures, recordings and tables in an archive. Without one the model is only pruned by its weights.',
            accept: '.npz,.safetensors,.zip,.tar,.gz,.tgz,.parquet',
            path: '/v1/datasets',
            changed: draw,
            arrived(answer) {
                dataset = answer;
                hasDataset = true;
                inspectAsDataset();
            },
        });

        const opening = poll(
            async (signal) => {
                const [description, modelPage, datasetPage, job] = await Promise.all([
                    get('/openapi.json', signal),
                    get(`/v1/models?limit=${CHOICES}`, signal),
                    get(`/v1/datasets?limit=${CHOICES}`, signal),
                    clone ? get(`/v1/jobs/${encodeURIComponent(clone)}`, signal) : null,
                ]);
                models = modelPage.items;
                datasets = datasetPage.items;
                if (job) await takeOver(job, signal);
                const wanted = query.get('model');
                if (wanted) model = await get(`/v1/models/${encodeURIComponent(wanted)}`, signal);
                api = description;
                problem = null;
                watchInspection();
                draw();
                return null;
            },
            (error) => {
                problem = error;
                if (error instanceof Problem && !error.isPassing) opening.stop();
                draw();
            },
        );

        /**
         * @param {Job} job
         * @param {AbortSignal} signal
         */
        async function takeOver(job, signal) {
            earlier = job;
            setTitle(`Clone of ${job.name ?? 'a job'}`);
            metric = metricOf(job.spec.target);
            share = job.spec.target[metric] ?? 0.5;
            if (job.spec.fine_tune === undefined || job.spec.fine_tune === null) draft.off.add('fine_tune');
            model = await get(`/v1/models/${job.model_id}`, signal).catch(() => null);
            dataset = job.dataset_id ? await get(`/v1/datasets/${job.dataset_id}`, signal).catch(() => null) : null;
            hasDataset = job.dataset_id !== null;
        }

        /** @type {{ stop: () => void } | null} */
        let watching = null;
        function watchInspection() {
            watching?.stop();
            if (!model || model.summary || !model.inspection || hasEnded(model.inspection.status)) return;
            const { id } = model;
            watching = poll(async (signal) => {
                const found = await get(`/v1/models/${id}?wait=20`, signal);
                if (model?.id !== id) return null;
                model = found;
                draw();
                if (!hasEnded(found.inspection?.status ?? 'succeeded')) return 300;
                inspectAsDataset();
                return null;
            });
        }

        /** A file that does not tell the shape of its input is inspected with that of the data set. */
        async function inspectAsDataset() {
            if (!model || !dataset || model.inspection?.error?.code !== NO_SHAPE) return;
            const both = `${model.id} ${dataset.id}`;
            if (inspected.has(both)) return;
            inspected.add(both);
            const shape = inputShape(dataset.summary);
            // Without it nothing is shown before the job, which finds out by itself.
            const found = await post(`/v1/models/${model.id}/inspect`, { input_shape: shape }).catch(() => null);
            if (!found || isLeft || model.id !== found.id) return;
            model = found;
            draw();
            watchInspection();
        }

        /** @param {SubmitEvent} event */
        async function submit(event) {
            event.preventDefault();
            const { spec, problems: unreadable } = draft.spec();
            problems = unreadable;
            general = '';
            hint = '';
            spec.target = { ...spec.target, [metric]: share };
            if (!model && !earlier)
                problems.set('model_id', 'A job needs a model: drop a file or choose one that is there.');
            if (problems.size > 0) return point();
            const wasOff = earlier !== null && (earlier.spec.fine_tune ?? null) === null;
            if (wasOff && draft.off.has('fine_tune')) delete spec.fine_tune;
            if (wasOff && !draft.off.has('fine_tune')) spec.fine_tune ??= {};
            const body = {
                ...(clone ? { clone_of: clone } : {}),
                ...(model ? { model_id: model.id } : {}),
                ...datasetOf(),
                ...spec,
            };
            isBusy = true;
            draw();
            try {
                const job = await post('/v1/jobs', body);
                go(`/jobs/${job.id}`);
                return;
            } catch (error) {
                const words = wordsOf(error);
                if (words.node && hasField(words.node)) problems.set(fieldOf(words.node), words.detail);
                else general = words.detail;
                hint = words.hint ?? '';
            }
            isBusy = false;
            point();
        }

        function datasetOf() {
            if (dataset && hasDataset) return { dataset_id: dataset.id };
            return clone ? { dataset_id: null } : {};
        }

        /** Shows the first field that is wrong, and opens the section that it is in. */
        function point() {
            draw();
            const path = [...problems.keys()][0];
            const element =
                path === undefined
                    ? host.querySelector('#general')
                    : host.querySelector(`#${path === 'model_id' ? 'model' : CSS.escape(idOf(path))}`);
            const section = element?.closest('details');
            if (section) section.open = true;
            if (element instanceof HTMLElement) {
                element.scrollIntoView({ block: 'center' });
                element.focus({ preventScroll: true });
            }
            announce(path === undefined ? general : (problems.get(path) ?? ''));
        }

        /** Where a problem of the spec is shown: at its field, or at the one that it is in. @param {string} node */
        function fieldOf(node) {
            if (node.startsWith('target.') && node !== 'target.max_metric_drop') return 'target';
            if (node === 'model_id' || node === 'dataset_id') return node;
            let path = node;
            while (path.includes('.') && !host.querySelector(`#${CSS.escape(idOf(path))}`))
                path = path.slice(0, path.lastIndexOf('.'));
            return path;
        }

        /** @param {string} node */
        function hasField(node) {
            const path = fieldOf(node);
            return (
                path === 'target' || path === 'model_id' || host.querySelector(`#${CSS.escape(idOf(path))}`) !== null
            );
        }

        function draw() {
            if (isLeft) return;
            render(page(), host);
        }

        function page() {
            const title = earlier ? html`<h1>Clone of ${earlier.name ?? 'a job'}</h1>` : html`<h1>New job</h1>`;
            if (!api)
                return html`${title}${problem ? problemPanel(problem, 'It is asked again in a moment.') : loading('the form')}`;
            const properties = api.components.schemas.JobSpec.properties ?? {};
            const form = { api, draft, problems, earlier: earlier?.spec ?? null, changed: draw };
            const rest = Object.entries(properties).filter(
                ([name]) => !ESSENTIALS.includes(name) && !APART.includes(name),
            );
            const isSection = (/** @type {[string, Schema]} */ [name, schema]) =>
                !AS_JSON.includes(name) && shapeOf(schema, form.api).kind === 'object';
            const order = Object.keys(SECTIONS);
            const place = (/** @type {string} */ name) => (order.includes(name) ? order.indexOf(name) : order.length);
            const sections = rest.filter(isSection).sort(([a], [b]) => place(a) - place(b));
            const single = rest.filter((entry) => !isSection(entry));
            /** @type {(name: string) => unknown} */
            const essential = (name) => field(form, name, properties[name]);
            return html`
                <div class="title">
                    <div>${title}${earlier ? madeFrom(earlier) : null}</div>
                </div>
                <form class="submit" @submit=${submit} novalidate aria-label="Job">
                    <section class="panel">
                        <h2>Files</h2>
                        <div class="drops">
                            <div>${modelDrop.draw(toldOfModel())} ${choice('model', models, model, (found) => {
                                model = found;
                                watchInspection();
                            })}
                                <p class="field-problem" id="field-model_id" tabindex="-1" role="alert">${problems.get('model_id') ?? ''}</p></div>
                            <div>${datasetDrop.draw(toldOfDataset())} ${choice(
                                'dataset',
                                datasets,
                                hasDataset ? dataset : null,
                                (found) => {
                                    dataset = found;
                                    hasDataset = found !== null;
                                    inspectAsDataset();
                                },
                            )}</div>
                        </div>
                    </section>
                    <section class="panel">
                        <h2>Target</h2>
                        ${target()}
                        <div class="field-grid">${field(form, 'target.max_metric_drop', (api.components.schemas.Target.properties ?? {}).max_metric_drop)}</div>
                    </section>
                    <section class="panel">
                        <h2>Essentials</h2>
                        <div class="field-grid">${essential('name')} ${essential('preset')} ${essential('method')}</div>
                        ${essential('input')}
                    </section>
                    <section class="panel sections">
                        <h2>Everything else</h2>
                        <p class="help">All of it has a default; what is written here takes its place.</p>
                        ${fineTune(form, properties.fine_tune)}
                        ${sections.map(([name, schema]) => {
                            const description = SECTIONS[name] ?? shapeOf(schema, form.api).description;
                            return section(
                                name,
                                description,
                                draft.count(name),
                                hasProblem(name),
                                field(form, name, schema),
                            );
                        })}
                        ${section(
                            'more',
                            'Input shapes, seed, labels, priority, limits and a configuration to replay.',
                            single.reduce((sum, [name]) => sum + draft.count(name), 0),
                            single.some(([name]) => hasProblem(name)),
                            html`<div class="field-grid">${single.map(([name, schema]) => field(form, name, schema, AS_JSON.includes(name)))}</div>`,
                        )}
                    </section>
                    <div class="submit-end">
                        <div id="general" tabindex="-1" role="alert">
                            ${general ? html`<p class="field-problem">${prose(general)}</p>` : null}
                            ${hint ? html`<p class="help">${prose(hint)}</p>` : null}
                        </div>
                        <button class="primary" ?disabled=${isBusy || modelDrop.share !== null || datasetDrop.share !== null}>
                            ${isBusy ? 'Submitting …' : 'Submit the job'}
                        </button>
                    </div>
                </form>
            `;
        }

        /** @param {string} name */
        function hasProblem(name) {
            return [...problems.keys()].some((path) => path === name || path.startsWith(`${name}.`));
        }

        /**
         * @param {string} name
         * @param {string} description
         * @param {number} count
         * @param {boolean} isWrong
         * @param {unknown} content
         */
        function section(name, description, count, isWrong, content) {
            return html`<details class="section">
                <summary>
                    <span class="section-name">${capital(words(name))}</span><span class="help">${prose(description)}</span>
                    ${count > 0 ? html`<span class="chip">${count} set</span>` : null}
                    ${isWrong ? html`<span class="failure">needs a look</span>` : null}
                </summary>
                ${content}
            </details>`;
        }

        /**
         * @param {import('../submit/fields.js').Form} form
         * @param {Schema} schema
         */
        function fineTune(form, schema) {
            const isOn = !draft.off.has('fine_tune');
            const toggle = () => {
                if (isOn) draft.off.add('fine_tune');
                else draft.off.delete('fine_tune');
                draw();
            };
            const content = html`<label class="check"><input type="checkbox" .checked=${live(isOn)} @change=${toggle} />Fine-tune what was pruned</label>
                ${isOn ? field(form, 'fine_tune', withoutDescription(form, schema)) : html`<p class="help">The network is pruned and repaired, and not trained.</p>`}`;
            return section(
                'fine tune',
                'Training of the networks that were cut.',
                draft.count('fine_tune'),
                hasProblem('fine_tune'),
                content,
            );
        }

        /**
         * @param {import('../submit/fields.js').Form} form
         * @param {Schema} schema
         */
        function withoutDescription(form, schema) {
            return { ...shapeOf(schema, form.api).schema, description: '' };
        }

        function target() {
            const reachable = model?.summary?.reachable[metric] ?? null;
            const isTooMuch = reachable !== null && share > reachable;
            const wrong = problems.get('target') ?? '';
            const set = (/** @type {Event} */ event) => {
                share = Number(/** @type {HTMLInputElement} */ (event.target).value) / 100;
                problems.delete('target');
                draw();
            };
            return html`<div class="target">
                <div class="field">
                    <label for="metric">Remove of the</label>
                    <select id="metric" .value=${live(metric)} @change=${(/** @type {Event} */ event) => {
                        metric = /** @type {HTMLSelectElement} */ (event.target).value;
                        draw();
                    }}>
                        ${Object.entries(METRICS).map(([name, text]) => html`<option value=${name} ?selected=${name === metric}>${text}</option>`)}
                    </select>
                </div>
                <div class="field">
                    <label for="field-target">Percent</label>
                    <input id="field-target" inputmode="decimal" type="number" min="0" max="100" step="any"
                        aria-invalid=${wrong ? 'true' : 'false'} aria-describedby="target-problem target-help" .value=${live(String(Math.round(share * 1e6) / 1e4))} @input=${set} />
                </div>
                <div class="field grows">
                    <label for="target-range" class="visually-hidden">Percent, as a slider</label>
                    <input id="target-range" type="range" min="1" max="99" step="1" .value=${live(String(Math.round(share * 100)))} @input=${set} />
                    <p class="help" id="target-help">${targetHelp(reachable, isTooMuch)}</p>
                    <p class="field-problem" id="target-problem" role="alert">${prose(wrong)}</p>
                </div>
            </div>`;
        }

        /**
         * @param {number | null} reachable
         * @param {boolean} isTooMuch
         */
        function targetHelp(reachable, isTooMuch) {
            if (isTooMuch)
                return html`<span class="failure">At most ${percent(reachable)} can be reached under the default constraints.</span>`;
            const base = model?.summary?.base;
            const left =
                base && metric === 'flops_reduction'
                    ? `${short(base.macs)} MACs become ${short(base.macs * (1 - share))}. `
                    : base && metric === 'params_reduction'
                      ? `${short(base.params)} parameters become ${short(base.params * (1 - share))}. `
                      : '';
            return `${left}${reachable === null ? '' : `Up to ${percent(reachable)} can be reached.`}`;
        }

        function toldOfModel() {
            if (!model) return null;
            const { name, id, summary, inspection } = model;
            return html`<p class="told" id="model-told">
                <strong>${name ?? shortId(id)}</strong><span class="sub">${prose(whatIsKnown(summary, inspection))}</span>
            </p>`;
        }

        function toldOfDataset() {
            if (!dataset || !hasDataset) return null;
            const { samples, sample_shape, sample_dtype, labelled, classes } = dataset.summary;
            const counts = samples.train + samples.val + samples.test;
            const what = [
                `${counts} samples of ${sample_shape.join(' × ')} ${sample_dtype}`,
                classes ? `${classes} classes` : labelled ? 'with labels' : 'without labels',
                bytes(dataset.bytes),
            ];
            return html`<p class="told" id="dataset-told"><strong>${dataset.name ?? shortId(dataset.id)}</strong><span class="sub">${what.join(', ')}</span></p>`;
        }

        /**
         * @template {Model | Dataset} T
         * @param {string} name
         * @param {T[]} items
         * @param {T | null} chosen
         * @param {(item: T | null) => void} choose
         */
        function choice(name, items, chosen, choose) {
            const all = chosen && !items.some(({ id }) => id === chosen.id) ? [chosen, ...items] : items;
            if (all.length === 0) return null;
            const none = name === 'model' ? 'None yet' : 'None';
            return html`<div class="field">
                <label for="known-${name}">or one that is there</label>
                <select id="known-${name}" .value=${live(chosen?.id ?? '')} @change=${(/** @type {Event} */ event) => {
                    choose(all.find(({ id }) => id === /** @type {HTMLSelectElement} */ (event.target).value) ?? null);
                    draw();
                }}>
                    <option value="" ?selected=${!chosen}>${none}</option>
                    ${all.map((item) => html`<option value=${item.id} ?selected=${item.id === chosen?.id}>${item.name ?? 'unnamed'} (${shortId(item.id)})</option>`)}
                </select>
            </div>`;
        }

        // A file that misses its place shall not take the page away.
        const keep = (/** @type {DragEvent} */ event) => event.preventDefault();
        /** @param {DragEvent} event */
        const dropAnywhere = (event) => {
            event.preventDefault();
            for (const file of event.dataTransfer?.files ?? [])
                (/\.(pt|pth|ts|jit|torchscript)$/i.test(file.name) ? modelDrop : datasetDrop).take(file);
        };
        document.addEventListener('dragover', keep);
        document.addEventListener('drop', dropAnywhere);
        draw();
        return () => {
            isLeft = true;
            opening.stop();
            watching?.stop();
            modelDrop.stop();
            datasetDrop.stop();
            document.removeEventListener('dragover', keep);
            document.removeEventListener('drop', dropAnywhere);
        };
    },
};

/** @param {Job} job */
function madeFrom({ id }) {
    return html`<p class="muted">
        Made from <a class="mono" href="/jobs/${id}">${shortId(id)}</a>: what is not changed here stays as it was there.
    </p>`;
}

/**
 * @param {Model['summary']} summary
 * @param {Model['inspection']} inspection
 */
function whatIsKnown(summary, inspection) {
    if (summary) {
        return `${short(summary.base.macs)} MACs, ${short(summary.base.params)} parameters, ${summary.layers.length} layers`;
    }
    if (inspection?.error?.code === NO_SHAPE) return 'Its file does not tell the shape of its input: a data set does.';
    if (inspection?.error) return inspection.error.detail;
    return inspection && !hasEnded(inspection.status) ? 'It is being inspected …' : '';
}

/**
 * One sample as the model takes it: channels first.
 *
 * @param {Dataset['summary']} summary
 */
function inputShape({ sample_shape, layout }) {
    if (layout === 'nhwc') return [sample_shape.at(-1), ...sample_shape.slice(0, -1)];
    return layout === 'nchw' && sample_shape.length === 2 ? [1, ...sample_shape] : sample_shape;
}
