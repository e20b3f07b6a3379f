// A slider over what the inspection found: how much of a cost may go, and what would be left.

import { html } from '../../vendor/lit-html/lit-html.js';
import { METRICS, percent, short } from '../text.js';

/** @import { Summary } from '../types.js' */

/**
 * @typedef {{ summary: Summary, metric: string, share: number, set: (next: { metric: string, share: number }) => void, start: (() => void) | null }} View
 */

/** @param {View} view */
export function howMuch({ summary, metric, share, set, start }) {
    const names = Object.keys(METRICS).filter((name) => name in summary.reachable);
    if (names.length === 0) return html`<p class="panel muted">Nothing of this model can be pruned.</p>`;
    const reachable = summary.reachable[metric] ?? 0;
    const before = total(summary, metric);
    const isReachable = share <= reachable;
    return html`<div class="panel how-much">
        <div class="segments" role="group" aria-label="What is counted">
            ${names.map(
                (
                    name,
                ) => html`<button aria-pressed=${name === metric ? 'true' : 'false'} @click=${() => set({ metric: name, share })}>
                ${METRICS[name]}
            </button>`,
            )}
        </div>
        <div class="how-much-figures">
            <span class="tile-after">−${percent(share, 0)}</span>
            <span>${short(before)} ${METRICS[metric]} become <strong>${short(before * (1 - share))}</strong></span>
        </div>
        <label class="visually-hidden" for="share">Share of the ${METRICS[metric]} to remove</label>
        <input id="share" type="range" min="1" max="99" step="1" .value=${String(Math.round(100 * share))} aria-valuetext="${percent(share, 0)} of the ${METRICS[metric]}"
            @input=${(/** @type {Event} */ event) => set({ metric, share: Number(/** @type {HTMLInputElement} */ (event.target).value) / 100 })} />
        <div class="how-much-end">
            <span class=${isReachable ? 'muted' : 'failure'}>
                ${
                    isReachable
                        ? `Up to ${percent(reachable)} can be reached.`
                        : `That is too much: at most ${percent(reachable)} can be reached under the default constraints.`
                }
            </span>
            ${start ? html`<button class="primary" ?disabled=${!isReachable} @click=${start}>Prune by ${percent(share, 0)}</button>` : null}
        </div>
    </div>`;
}

/**
 * @param {Summary} summary
 * @param {string} metric
 */
function total({ base }, metric) {
    if (metric === 'params_reduction') return base.params;
    return metric === 'channel_reduction' ? base.channels : base.macs;
}
