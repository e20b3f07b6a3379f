// The width of every layer before and after.

import { html, svg } from '../../vendor/lit-html/lit-html.js';
import { change, short, words } from '../text.js';

/** @import { LayerWidth } from '../types.js' */

/**
 * @param {number} before
 * @param {number} after
 * @param {number} widest
 */
export function widthBar(before, after, widest) {
    /** @type {(channels: number) => string} */
    const share = (channels) => `${((100 * channels) / Math.max(1, widest)).toFixed(2)}%`;
    return html`<svg class="width-bar" aria-hidden="true">
        ${svg`<rect class="before" width=${share(before)} height="100%" rx="2"></rect><rect class="after" width=${share(after)} height="100%" rx="2"></rect>`}
    </svg>`;
}

/**
 * @param {LayerWidth[]} layers
 * @param {boolean} onlyWeights
 * @param {(only: boolean) => void} setOnlyWeights
 */
export function widths(layers, onlyWeights, setOnlyWeights) {
    const shown = onlyWeights ? layers.filter((layer) => layer.macs_before > 0) : layers;
    const widest = Math.max(1, ...shown.map((layer) => layer.channels_before));
    return html`<div class="panel-title">
            <h2 id="widths-title">Widths of the layers</h2>
            <label class="check">
                <input type="checkbox" .checked=${onlyWeights} @change=${() => setOnlyWeights(!onlyWeights)} />
                only layers that cost MACs
            </label>
        </div>
        <div class="table-frame tall" tabindex="0" role="region" aria-labelledby="widths-title">
            <table class="dense">
                <thead>
                    <tr>
                        <th scope="col">Layer</th>
                        <th scope="col">Channels</th>
                        <th scope="col" class="bar-column"><span class="visually-hidden">Share</span></th>
                        <th scope="col" class="number">MACs</th>
                    </tr>
                </thead>
                <tbody>
                    ${shown.map(
                        (layer) => html`<tr>
                            <th scope="row"><span class="mono name">${layer.layer}</span><span class="sub">${words(layer.type)}</span></th>
                            <td class="nowrap">${channels(layer)}</td>
                            <td class="bar-column">${widthBar(layer.channels_before, layer.channels_after, widest)}</td>
                            <td class="number nowrap">${macs(layer)}</td>
                        </tr>`,
                    )}
                </tbody>
            </table>
        </div>`;
}

/** @param {LayerWidth} layer */
function channels({ channels_before, channels_after }) {
    if (channels_before === channels_after) return channels_after;
    return html`${channels_before} → <strong>${channels_after}</strong>`;
}

/** @param {LayerWidth} layer */
function macs({ macs_before, macs_after }) {
    if (macs_before === 0) return '–';
    return html`${short(macs_after)}<span class="sub">${change(macs_before, macs_after)}</span>`;
}
