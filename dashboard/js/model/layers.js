// The layers of a model with the groups that their channels belong to.

import { html } from '../../vendor/lit-html/lit-html.js';
import { prose, short, words } from '../text.js';

/** @import { Group, Summary } from '../types.js' */

/** How many colours there are for groups; css/pages.css has them. */
const HUES = 10;

/**
 * A colour for every group that can be pruned, by name.
 *
 * @param {Group[]} groups
 * @returns {Map<string, string>}
 */
export function hues(groups) {
    const prunable = groups.filter((group) => group.unprunable === null);
    return new Map(prunable.map((group, place) => [group.name, `hue-${place % HUES}`]));
}

/**
 * The class of a layer's colour; several groups share their first one's.
 *
 * @param {Map<string, string>} colours
 * @param {string | null} group
 */
export function hueOf(colours, group) {
    return (group && colours.get(group.split(' + ')[0])) || 'hue-none';
}

/**
 * @param {Summary} summary
 * @param {Map<string, string>} colours
 * @param {string} filter
 * @param {(text: string) => void} setFilter
 */
export function layerTable(summary, colours, filter, setFilter) {
    const wanted = filter.trim().toLowerCase();
    const shown = summary.layers.filter(
        ({ layer, type, group }) => !wanted || `${layer} ${type} ${group ?? ''}`.toLowerCase().includes(wanted),
    );
    return html`<div class="panel-title">
            <h2 id="layers-title">Layers</h2>
            <div class="inline">
                <label for="layer-filter">Find</label>
                <input id="layer-filter" type="search" placeholder="name, type or group" .value=${filter}
                    @input=${(/** @type {Event} */ event) => setFilter(/** @type {HTMLInputElement} */ (event.target).value)} />
            </div>
        </div>
        <div class="table-frame tall" tabindex="0" role="region" aria-labelledby="layers-title">
            <table class="dense">
                <thead>
                    <tr>
                        <th scope="col">Layer</th>
                        <th scope="col">Channels</th>
                        <th scope="col">Group</th>
                        <th scope="col" class="number">MACs</th>
                        <th scope="col" class="number">Parameters</th>
                    </tr>
                </thead>
                <tbody>
                    ${shown.map(
                        (layer) => html`<tr>
                            <th scope="row"><span class="mono name">${layer.layer}</span><span class="sub">${words(layer.type)}</span></th>
                            <td class="nowrap">${layer.channels_in ?? '–'} → ${layer.channels_out ?? '–'}</td>
                            <td>
                                ${
                                    layer.group
                                        ? html`<span class="group-name">
                                              <span class="group-dot ${hueOf(colours, layer.group)}" aria-hidden="true"></span>
                                              <span class="mono name">${layer.group}</span>
                                          </span>`
                                        : html`<span class="muted">${layer.unprunable ? prose(layer.unprunable) : 'none'}</span>`
                                }
                            </td>
                            <td class="number nowrap">${layer.macs > 0 ? short(layer.macs) : '–'}</td>
                            <td class="number nowrap">${short(layer.params)}</td>
                        </tr>`,
                    )}
                </tbody>
            </table>
            ${shown.length === 0 ? html`<p class="loading">No layer has this in its name, type or group.</p>` : null}
        </div>`;
}
