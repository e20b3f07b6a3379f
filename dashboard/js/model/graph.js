// The graph of a model's layers, coloured by group. It can be moved and zoomed with the mouse, two fingers, buttons and keys.

import { html, render, svg } from '../../vendor/lit-html/lit-html.js';
import { short, words } from '../text.js';
import { layOut } from './layout.js';
import { hueOf, hues } from './layers.js';

/** @import { Layer, Summary } from '../types.js' */
/** @import { Edge, Place } from './layout.js' */

const BOX = { width: 150, height: 44 };
const PADDING = 24;
const MOST_LAYERS = 1500;
const LONGEST_NAME = 21;

export class GraphView {
    /**
     * @param {HTMLElement} host
     * @param {Summary} summary
     */
    constructor(host, summary) {
        this.host = host;
        this.summary = summary;
        this.colours = hues(summary.groups);
        this.joins = summary.joins ?? [];
        /** @type {number | null} */
        this.pointed = null;
        if (summary.layers.length > MOST_LAYERS) {
            render(
                html`<p class="muted">The model has ${summary.layers.length} layers, too many for a drawing. The table below has them all.</p>`,
                host,
            );
            return;
        }
        this.layout = layOut(summary.layers.length + this.joins.length, connectionsOf(summary));
        this.whole = {
            x: -PADDING,
            y: -PADDING,
            width: this.layout.width + PADDING,
            height: this.layout.height + PADDING,
        };
        this.draw();
        this.drawing = /** @type {SVGSVGElement} */ (/** @type {unknown} */ (host.querySelector('svg.graph')));
        this.start();
        this.drawing.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
        this.#followPointers();
        this.observer = new ResizeObserver(() => this.#apply());
        this.observer.observe(this.drawing);
    }

    draw() {
        const { layout, summary } = this;
        if (!layout) return;
        const shown = this.pointed === null ? null : summary.layers[this.pointed];
        render(
            html`<div class="graph-tools">
                    <button class="mini" @click=${() => this.zoom(1 / 1.4)} aria-label="Zoom in">+</button>
                    <button class="mini" @click=${() => this.zoom(1.4)} aria-label="Zoom out">−</button>
                    <button class="mini" @click=${() => this.fit()}>All of it</button>
                    <button class="mini" @click=${() => this.start()}>Begin</button>
                    <span class="sub graph-readout">${shown ? describe(shown) : 'Drag to move, wheel or + and − to zoom. Layers of one colour are cut together.'}</span>
                </div>
                <svg class="graph ${layout.height < 200 ? 'low' : ''}" tabindex="0" role="img"
                    aria-label="Graph of ${summary.layers.length} layers; the table below has the same in words"
                    @keydown=${(/** @type {KeyboardEvent} */ event) => this.#key(event)}>
                    <g class="edges">${layout.edges.map((edge) => svg`<path d=${curve(edge, summary.layers.length)}></path>`)}</g>
                    <g class="joins">${this.joins.map((operator, place) => join(operator, layout.places[summary.layers.length + place]))}</g>
                    <g>
                        ${summary.layers.map((layer, place) => {
                            const { x, y } = layout.places[place];
                            const isKin = shown?.group && layer.group === shown.group;
                            return svg`<g class="layer ${hueOf(this.colours, layer.group)} ${isKin ? 'kin' : ''}" transform="translate(${x} ${y.toFixed(1)})"
                                @mouseenter=${() => this.#point(place)} @mouseleave=${() => this.#point(null)}>
                                <rect width=${BOX.width} height=${BOX.height} rx="8"></rect>
                                <text x="10" y="18" class="layer-name">${ending(layer.layer)}</text>
                                <text x="10" y="34" class="layer-kind">${words(layer.type)}${layer.channels_out === null ? '' : `, ${layer.channels_out}`}</text>
                                <title>${describe(layer)}</title>
                            </g>`;
                        })}
                    </g>
                </svg>`,
            this.host,
        );
    }

    /** @param {number | null} place */
    #point(place) {
        if (this.pointed === place) return;
        this.pointed = place;
        this.draw();
    }

    /** The beginning, in a size that can be read. */
    start() {
        if (!this.drawing || !this.whole || !this.layout) return;
        const { clientWidth, clientHeight } = this.drawing;
        const width = Math.min(clientWidth * 1.15, this.whole.width);
        const height = (width * clientHeight) / Math.max(1, clientWidth);
        this.view = { x: this.whole.x, y: this.layout.places[0].y + BOX.height / 2 - height / 2, width, height };
        if (this.layout.height < height) this.view.y = this.layout.height / 2 - height / 2 - PADDING / 2;
        this.#apply();
    }

    fit() {
        if (!this.whole) return;
        this.view = { ...this.whole };
        this.#apply();
    }

    /**
     * @param {number} factor
     * @param {{ x: number, y: number }} [around] Share of the drawing's width and height.
     */
    zoom(factor, around = { x: 0.5, y: 0.5 }) {
        if (!this.view || !this.whole) return;
        const width = Math.min(Math.max(this.view.width * factor, 200), this.whole.width * 1.5 + 400);
        const height = (this.view.height * width) / this.view.width;
        this.view = {
            x: this.view.x + (this.view.width - width) * around.x,
            y: this.view.y + (this.view.height - height) * around.y,
            width,
            height,
        };
        this.#apply();
    }

    /**
     * @param {number} x Share of the width.
     * @param {number} y Share of the height.
     */
    move(x, y) {
        if (!this.view) return;
        this.view = { ...this.view, x: this.view.x + x * this.view.width, y: this.view.y + y * this.view.height };
        this.#apply();
    }

    #apply() {
        if (!this.view || !this.drawing) return;
        const { x, y, width, height } = this.view;
        this.drawing.setAttribute('viewBox', `${x} ${y} ${width} ${height}`);
    }

    /** @param {WheelEvent} event */
    #wheel(event) {
        // The wheel alone scrolls the page.
        if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.drawing) return;
        event.preventDefault();
        const box = /** @type {SVGSVGElement} */ (this.drawing).getBoundingClientRect();
        this.zoom(Math.exp(event.deltaY * 0.0015), {
            x: (event.clientX - box.x) / box.width,
            y: (event.clientY - box.y) / box.height,
        });
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        /** @type {Record<string, () => void>} */
        const keys = {
            '+': () => this.zoom(1 / 1.25),
            '=': () => this.zoom(1 / 1.25),
            '-': () => this.zoom(1.25),
            0: () => this.fit(),
            Home: () => this.start(),
            ArrowLeft: () => this.move(-0.15, 0),
            ArrowRight: () => this.move(0.15, 0),
            ArrowUp: () => this.move(0, -0.15),
            ArrowDown: () => this.move(0, 0.15),
        };
        if (event.ctrlKey || event.metaKey || !(event.key in keys)) return;
        event.preventDefault();
        keys[event.key]();
    }

    #followPointers() {
        const drawing = /** @type {SVGSVGElement} */ (this.drawing);
        /** @type {Map<number, PointerEvent>} */
        const down = new Map();
        const apart = () => {
            const [a, b] = [...down.values()];
            return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        };
        drawing.addEventListener('pointerdown', (event) => {
            down.set(event.pointerId, event);
            drawing.setPointerCapture(event.pointerId);
        });
        drawing.addEventListener('pointermove', (event) => {
            const before = down.get(event.pointerId);
            if (!before) return;
            const box = drawing.getBoundingClientRect();
            if (down.size === 2) {
                const was = apart();
                down.set(event.pointerId, event);
                this.zoom(was / Math.max(1, apart()));
                return;
            }
            down.set(event.pointerId, event);
            this.move((before.clientX - event.clientX) / box.width, (before.clientY - event.clientY) / box.height);
        });
        for (const end of ['pointerup', 'pointercancel'])
            drawing.addEventListener(end, (event) => down.delete(/** @type {PointerEvent} */ (event).pointerId));
    }

    close() {
        this.observer?.disconnect();
    }
}

/**
 * Between which layers data flow. An older inspection has not said so: then a layer follows on those that give the channels which it reads.
 *
 * @param {Summary} summary
 * @returns {[number, number][]}
 */
export function connectionsOf(summary) {
    if (summary.connections && summary.connections.length > 0) return summary.connections;
    return summary.layers.slice(1).map((_, place) => [place, place + 1]);
}

/**
 * @param {Edge} edge
 * @param {number} layers How many places are boxes; edges meet in the middle of the others.
 */
function curve({ from, to, way }, layers) {
    let path = '';
    for (let step = 1; step < way.length; step += 1) {
        const leavesBox = step === 1 && from < layers;
        const entersBox = step === way.length - 1 && to < layers;
        const start = {
            x: way[step - 1].x + (leavesBox ? BOX.width : BOX.width / 2),
            y: (way[step - 1].y + BOX.height / 2).toFixed(1),
        };
        const end = { x: way[step].x + (entersBox ? 0 : BOX.width / 2), y: (way[step].y + BOX.height / 2).toFixed(1) };
        const middle = (start.x + end.x) / 2;
        path += `${step === 1 ? `M${start.x} ${start.y}` : ''}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`;
    }
    return path;
}

/**
 * Where data of several layers meet.
 *
 * @param {string} operator
 * @param {Place} place
 */
function join(operator, { x, y }) {
    const sign = /** @type {Record<string, string>} */ ({ add: '+', sub: '−', mul: '×', div: '÷' })[operator];
    return svg`<g transform="translate(${x + BOX.width / 2} ${(y + BOX.height / 2).toFixed(1)})">
        ${sign ? svg`<circle r="12"></circle>` : svg`<rect x="-38" y="-12" width="76" height="24" rx="12"></rect>`}
        <text y="5" text-anchor="middle" class=${sign ? 'sign' : 'word'}>${sign ?? words(operator)}</text>
        <title>${words(operator)}</title>
    </g>`;
}

/** The end of a name tells layers apart. @param {string} name */
function ending(name) {
    return name.length > LONGEST_NAME ? `…${name.slice(1 - LONGEST_NAME)}` : name;
}

/** @param {Layer} layer */
function describe(layer) {
    const channels = `${layer.channels_in ?? '–'} → ${layer.channels_out ?? '–'} channels`;
    const group = layer.group ? `group ${layer.group}` : (layer.unprunable ?? 'no group');
    return `${layer.layer}: ${words(layer.type)}, ${channels}, ${short(layer.macs)} MACs, ${group}`;
}
