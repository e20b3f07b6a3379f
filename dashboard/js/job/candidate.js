// One candidate: what it costs, how good it was, and how wide its groups are.

import { html } from '../../vendor/lit-html/lit-html.js';
import { figure, originText, percent, short, whole } from '../text.js';
import { widthBar } from './widths.js';

/** @import { Candidate, Group, Summary } from '../types.js' */

/** @type {[string, string][]} */
const MEASURES = [
    ['screened', 'After surgery'],
    ['repaired', 'Repaired'],
    ['light', 'Lightly tuned'],
    ['tuned', 'Fully tuned'],
];

/**
 * @param {Candidate} candidate
 * @param {Summary | null} summary
 * @param {() => void} close
 */
export function candidatePanel(candidate, summary, close) {
    const groups = (summary?.groups ?? []).filter((group) => group.unprunable === null);
    return html`<section class="panel candidate" aria-label="Candidate ${candidate.index}">
        <div class="panel-title">
            <h3>Candidate ${candidate.index}</h3>
            <button class="mini" @click=${close}>Close</button>
        </div>
        <dl class="facts">
            <dt>Proposed by</dt>
            <dd>${originText(candidate.origin)}</dd>
            <dt>MACs</dt>
            <dd>${whole(candidate.macs)}</dd>
            <dt>Parameters</dt>
            <dd>${whole(candidate.params)}</dd>
            <dt>Removed</dt>
            <dd>${percent(candidate.reduction, 2)}</dd>
            ${MEASURES.map(([rung, text]) => {
                const accuracy = candidate[`${rung}_accuracy`];
                const metric = candidate[`${rung}_metric`];
                if (typeof accuracy === 'number') return html`<dt>${text}</dt><dd>${percent(accuracy, 2)}</dd>`;
                return typeof metric === 'number' ? html`<dt>${text}</dt><dd>${figure(metric)}</dd>` : null;
            })}
            ${typeof candidate.similarity === 'number' ? html`<dt>Similarity</dt><dd>${figure(candidate.similarity)}</dd>` : null}
            ${typeof candidate.predicted_divergence === 'number' ? html`<dt>Predicted divergence</dt><dd>${figure(candidate.predicted_divergence)} nats</dd>` : null}
            ${typeof candidate.predicted_latency_ms === 'number' ? html`<dt>Predicted latency</dt><dd>${short(candidate.predicted_latency_ms)} ms</dd>` : null}
        </dl>
        ${groupWidths(candidate, groups)}
    </section>`;
}

/**
 * @param {Candidate} candidate
 * @param {Group[]} groups
 */
function groupWidths(candidate, groups) {
    const widths = candidate.widths ?? [];
    if (widths.length === 0 || widths.length !== groups.length) {
        return html`<p class="muted">The widths of this candidate are not known: its job is older than they are kept, or its model is gone.</p>`;
    }
    const widest = Math.max(...groups.map((group) => group.channels));
    return html`<h4>Channels kept of each group</h4>
        <ul class="group-widths">
            ${groups.map(
                (group, place) => html`<li>
                    <span class="mono name" title=${group.name}>${group.name}</span>
                    ${widthBar(group.channels, widths[place], widest)}
                    <span class="number">${widths[place]} of ${group.channels}</span>
                </li>`,
            )}
        </ul>`;
}
