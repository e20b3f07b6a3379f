// The files that a job made.

import { html, nothing } from '../../vendor/lit-html/lit-html.js';
import { bytes } from '../text.js';

/** @import { Artifact } from '../types.js' */

/** @type {Record<string, string>} */
const WHAT = {
    'model.pt': 'The pruned model, TorchScript',
    'report.json': 'All figures, and the channels that were kept',
    'report.html': 'The report as a page',
    'config.json': 'The configuration, to replay',
    'graph.json': 'The graph that was read',
    'triton.zip': 'The pruned model for Triton’s model repository',
    'log.txt': 'What the engines said',
};
/** It is there to be looked at. */
const PAGE = 'report.html';
const ORDER = Object.keys(WHAT);

/** @param {Artifact[]} artifacts */
export function downloads(artifacts) {
    if (artifacts.length === 0) return null;
    /** @param {Artifact} artifact */
    const place = ({ name }) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
    const sorted = [...artifacts].sort((a, b) => place(a) - place(b));
    return html`<section>
        <h2>Downloads</h2>
        <ul class="downloads">
            ${sorted.map(
                (artifact) => html`<li>
                    <a class="panel download ${artifact.name === 'model.pt' ? 'first' : ''}" href=${artifact.url} download=${artifact.name === PAGE ? nothing : artifact.name}
                        target=${artifact.name === PAGE ? '_blank' : nothing}>
                        <strong class="mono">${artifact.name}</strong><span class="sub">${WHAT[artifact.name] ?? 'A file of the job'} · ${bytes(artifact.bytes)}</span>
                    </a>
                </li>`,
            )}
        </ul>
    </section>`;
}
