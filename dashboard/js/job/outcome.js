// The figures that matter, before and after; while the job runs, of the best so far.

import { html } from '../../vendor/lit-html/lit-html.js';
import { bytes, change, figure, originText, percent, short } from '../text.js';

/** @import { Job, Model } from '../types.js' */

/**
 * @param {Job} job
 * @param {Model | null} model
 */
export function outcome(job, model) {
    if (job.result) {
        const { base, pruned, winner } = job.result;
        const { batch, device, threads } = pruned.latency_ms;
        return html`<section>
            <h2>Result</h2>
            <div class="tiles">
                ${tile('MACs', short(base.macs), short(pruned.macs), change(base.macs, pruned.macs))}
                ${tile('Parameters', short(base.params), short(pruned.params), change(base.params, pruned.params))}
                ${
                    base.accuracy && pruned.accuracy
                        ? tile(
                              'Accuracy, test',
                              percent(base.accuracy.test, 2),
                              percent(pruned.accuracy.test, 2),
                              points(base.accuracy.test, pruned.accuracy.test),
                          )
                        : null
                }
                ${tile('Latency', `${figure(base.latency_ms.p50)}`, `${figure(pruned.latency_ms.p50)} ms`, change(base.latency_ms.p50, pruned.latency_ms.p50))}
                ${tile('File', bytes(base.bytes), bytes(pruned.bytes), change(base.bytes, pruned.bytes))}
            </div>
            <p class="muted">Proposed by: ${originText(winner)}. Latency is the median of batch ${batch} on ${device}, ${threads} threads.</p>
        </section>`;
    }
    if (!job.best) return null;
    const { costs, val_accuracy, val_metric, origin, stage } = job.best;
    const base = model?.summary?.base;
    return html`<section>
        <h2>Best so far</h2>
        <div class="tiles">
            ${tile('MACs', base ? short(base.macs) : null, short(costs.macs), base ? change(base.macs, costs.macs) : null)}
            ${tile('Parameters', base ? short(base.params) : null, short(costs.params), base ? change(base.params, costs.params) : null)}
            ${typeof val_accuracy === 'number' ? tile('Accuracy, validation', null, percent(val_accuracy, 2), null) : null}
            ${typeof val_metric === 'number' ? tile('Metric, validation', null, figure(val_metric), null) : null}
        </div>
        <p class="muted">Candidate ${job.best.candidate}, ${originText(origin)}, as measured in the stage ${stage}.</p>
    </section>`;
}

/**
 * @param {string} name
 * @param {string | null} before
 * @param {string} after
 * @param {string | null} difference
 */
function tile(name, before, after, difference) {
    return html`<div class="panel tile">
        <span class="tile-name">${name}</span>
        <span class="tile-after">${after}</span>
        <span class="sub">${before === null ? null : html`from ${before}`}${before !== null && difference ? ' · ' : ''}${difference}</span>
    </div>`;
}

/**
 * @param {number} before
 * @param {number} after
 */
function points(before, after) {
    const difference = 100 * (after - before);
    return `${difference < 0 ? '−' : '+'}${Math.abs(difference).toFixed(2)} points`;
}
