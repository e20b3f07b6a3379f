// One model: what it computes, what may go, and what stands in the way.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { get, post, Problem, remove } from '../server/api.js';
import { poll } from '../server/poll.js';
import { maySubmit } from '../server/session.js';
import { go, setTitle } from '../router.js';
import { bytes, prose, time, whole } from '../text.js';
import { GraphView } from '../model/graph.js';
import { howMuch } from '../model/how-much.js';
import { hues, layerTable } from '../model/layers.js';
import { copyable } from '../view/copy.js';
import { ask } from '../view/dialog.js';
import { loading, problemPanel, warnings } from '../view/panel.js';
import { hasEnded } from '../view/status.js';
import { trying } from '../view/trying.js';

/** @import { Model, Summary } from '../types.js' */

/** Seconds that the server may keep a request until the inspection has ended. */
const WAIT = 20;

/** @type {import('../router.js').PageOf} */
export const modelPage = {
    title: 'Model',
    open(host, { id }) {
        const path = `/v1/models/${encodeURIComponent(id)}`;
        /** @type {Model | null} */
        let model = null;
        /** @type {unknown} */
        let problem = null;
        let shapeProblem = '';
        let metric = 'flops_reduction';
        let share = 0.5;
        let filter = '';
        /** @type {GraphView | null} */
        let graph = null;
        let isLeft = false;

        const asking = poll(
            async (signal) => {
                model = /** @type {Model} */ (await get(model === null ? path : `${path}?wait=${WAIT}`, signal));
                problem = null;
                setTitle(model.name ?? 'Model');
                draw();
                return model.inspection && !hasEnded(model.inspection.status) ? 300 : null;
            },
            (error) => {
                problem = error;
                if (error instanceof Problem && !error.isPassing) asking.stop();
                draw();
            },
        );

        function draw() {
            if (isLeft) return;
            render(page(), host);
            const place = /** @type {HTMLElement | null} */ (host.querySelector('#graph'));
            if (place && model?.summary && !graph) graph = new GraphView(place, model.summary);
        }

        function page() {
            if (!model) return html`<h1>Model</h1>${problem ? problemPanel(problem) : loading('the model')}`;
            const { summary } = model;
            return html`
                <nav class="crumbs" aria-label="Where this is"><a href="/models">Models</a></nav>
                <div class="title">
                    <div>
                        <h1>${model.name ?? 'Unnamed model'}</h1>
                        <p class="under-title">${copyable(model.id, 'the model’s id')}</p>
                    </div>
                    ${
                        maySubmit()
                            ? html`<div class="actions">
                              <a class="button primary" href="/submit?model=${model.id}">Prune it</a>
                              <button class="danger-quiet" @click=${erase}>Delete</button>
                          </div>`
                            : null
                    }
                </div>
                ${problem ? problemPanel(problem, 'What is below may be old.') : null} ${inspection(model)}
                <dl class="panel facts wide">
                    <dt>File</dt>
                    <dd>${bytes(model.bytes)}</dd>
                    <dt>Uploaded</dt>
                    <dd>${time(model.created_at)}</dd>
                    <dt>SHA-256</dt>
                    <dd class="mono">${model.sha256.slice(0, 16)}…</dd>
                    ${summary ? facts(summary) : null}
                </dl>
                ${summary ? told(summary) : null}
            `;
        }

        /** @param {Model} model */
        function inspection({ inspection, summary }) {
            if (summary || !inspection) return null;
            if (!hasEnded(inspection.status))
                return html`<p class="panel notice" role="status">The model is being inspected; that takes some seconds.</p>`;
            if (!inspection.error) return null;
            const { title, detail, hint } = inspection.error;
            return html`<section class="panel problem" role="alert">
                    <h2>${title}</h2>
                    <p>${prose(detail)}</p>
                    ${hint ? html`<p class="hint">${prose(hint)}</p>` : null}
                </section>
                ${
                    maySubmit()
                        ? html`<form class="panel form" @submit=${inspectAgain} novalidate>
                          <div class="field">
                              <label for="shape">Input shape</label>
                              <input id="shape" placeholder="3, 224, 224" autocomplete="off" aria-describedby="shape-help shape-problem" aria-invalid=${shapeProblem ? 'true' : 'false'} />
                              <p class="help" id="shape-help">Of one sample, without the batch.</p>
                              <p class="field-problem" id="shape-problem" role="alert">${shapeProblem}</p>
                          </div>
                          <div class="actions"><button class="primary">Inspect again</button></div>
                      </form>`
                        : null
                }`;
        }

        /** @param {SubmitEvent} event */
        async function inspectAgain(event) {
            event.preventDefault();
            const field = /** @type {HTMLInputElement} */ (host.querySelector('#shape'));
            const shape = field.value
                .split(/[\s,x×]+/)
                .filter(Boolean)
                .map(Number);
            shapeProblem = '';
            try {
                if (shape.length === 0 || shape.some((size) => !Number.isInteger(size) || size < 1))
                    throw new Error('The shape must be whole numbers, such as 3, 224, 224.');
                await post(`${path}/inspect`, { input_shape: shape });
                asking.soon();
            } catch (error) {
                shapeProblem =
                    error instanceof Problem
                        ? error.document.detail
                        : error instanceof Error
                          ? error.message
                          : String(error);
            }
            draw();
        }

        /** @param {Summary} summary */
        function facts(summary) {
            const prunable = summary.groups.filter((group) => group.unprunable === null);
            return html`<dt>Inputs</dt>
                <dd>${summary.inputs.map((shape) => shape.join(' × ')).join('; ')}</dd>
                <dt>MACs</dt>
                <dd>${whole(summary.base.macs)}</dd>
                <dt>Parameters</dt>
                <dd>${whole(summary.base.params)}</dd>
                <dt>Layers</dt>
                <dd>${summary.layers.length}</dd>
                <dt>Groups</dt>
                <dd>${prunable.length} that can be pruned, ${whole(summary.base.channels)} channels</dd>
                <dt>Configurations</dt>
                <dd>about 10<sup>${Math.round(summary.log10_space)}</sup></dd>
                ${summary.export ? html`<dt>Comes back as</dt><dd>${exportText(summary.export)}</dd>` : null}`;
        }

        /** @param {Summary} summary */
        function told(summary) {
            const colours = hues(summary.groups);
            return html`
                <section>
                    <h2>How much could go</h2>
                    ${howMuch({
                        summary,
                        metric,
                        share,
                        set(next) {
                            metric = next.metric;
                            share = next.share;
                            draw();
                        },
                        start: maySubmit() ? () => go(`/submit?model=${id}&${metric}=${share.toFixed(3)}`) : null,
                    })}
                </section>
                ${summary.advice.length > 0 ? warnings('Advice', summary.advice) : null}
                ${summary.obstacles.length > 0 ? obstacles(summary.obstacles) : null}
                <section>
                    <h2>Graph</h2>
                    <div id="graph" class="panel graph-panel"></div>
                </section>
                <section>
                    ${layerTable(summary, colours, filter, (/** @type {string} */ text) => {
                        filter = text;
                        draw();
                    })}
                </section>
                ${summary.specialisations.length > 0 ? branches(summary.specialisations) : null}
            `;
        }

        const erase = trying(async () => {
            const text = 'Jobs that have ended keep their reports and files.';
            if (!(await ask({ title: 'Delete this model?', text, yes: 'Delete it' }))) return;
            await remove(path);
            go('/models');
        });

        return () => {
            isLeft = true;
            asking.stop();
            graph?.close();
        };
    },
};

/** @param {NonNullable<Summary['export']>} found */
function exportText({ kind, reason }) {
    if (kind === 'patched') return 'your own program, minus channels';
    return html`a recording of one run${reason ? html`: ${prose(reason)}` : null}`;
}

/** @param {Summary['obstacles']} found */
function obstacles(found) {
    return html`<section>
        <h2>Obstacles</h2>
        <div class="table-frame" tabindex="0" role="region" aria-label="Obstacles">
            <table class="dense">
                <thead>
                    <tr>
                        <th scope="col">At</th>
                        <th scope="col">Why no channel can be cut</th>
                        <th scope="col" class="number">Channels held</th>
                    </tr>
                </thead>
                <tbody>
                    ${found.map(
                        ({ node, operator, reason, channels }) => html`<tr>
                            <th scope="row"><span class="mono name">${node}</span><span class="sub">${operator}</span></th>
                            <td>${prose(reason)}</td>
                            <td class="number">${whole(channels)}</td>
                        </tr>`,
                    )}
                </tbody>
            </table>
        </div>
    </section>`;
}

/** @param {string[]} found */
function branches(found) {
    return html`<details class="panel">
        <summary>Branches that depend on the size of the input (${found.length})</summary>
        <ul>${found.map((text) => html`<li class="mono">${text}</li>`)}</ul>
    </details>`;
}
