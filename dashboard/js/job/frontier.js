// Every candidate by what it costs and how good it is. Each can be pointed at, reached by the arrow keys, and opened.

import { html, svg } from '../../vendor/lit-html/lit-html.js';
import { figure, originText, percent, short, whole } from '../text.js';
import { scale } from '../view/scale.js';

/** @import { Candidate, Report } from '../types.js' */
/** @import { Scale } from '../view/scale.js' */

/** From the least training to the most. */
const RUNGS = /** @type {const} */ (['screened', 'repaired', 'light', 'tuned']);
/** @type {Record<string, string>} */
const RUNG_TEXT = { screened: 'after surgery', repaired: 'repaired', light: 'lightly tuned', tuned: 'fully tuned' };
const WIDTH = 1060;
const HEIGHT = 400;
const KEYS = 'arrow keys go from one to the next, enter shows its widths';
const MARGIN = { left: 66, right: 18, top: 16, bottom: 44 };

/**
 * @typedef {{ candidate: Candidate, rung: string, y: number, x: number }} Measured
 * @typedef {{ candidates: Candidate[], report: Report | null, best: number | null, chosen: number | null, pointed: number | null,
 *             choose: (index: number | null) => void, point: (index: number | null) => void }} View
 */

/**
 * How good a candidate was last found to be.
 *
 * @param {Candidate} candidate
 * @returns {{ rung: string, y: number } | null}
 */
export function measured(candidate) {
    for (const rung of [...RUNGS].reverse()) {
        const value = candidate[`${rung}_accuracy`] ?? candidate[`${rung}_metric`];
        if (typeof value === 'number') return { rung, y: value };
    }
    return null;
}

/** @param {View} view */
export function frontier(view) {
    /** @type {Measured[]} */
    const points = [];
    for (const candidate of view.candidates) {
        const found = measured(candidate);
        if (found) points.push({ candidate, x: candidate.macs, ...found });
    }
    if (points.length === 0) {
        const count = view.candidates.length;
        const text = `${count} candidates are proposed and none is measured yet.`;
        return html`<p class="muted">${count > 0 ? text : 'No candidate is proposed yet.'}</p>`;
    }
    const metric = view.report?.metric ?? null;
    const name = metric?.name ?? 'accuracy';
    const isShare = !metric || /accuracy|iou|f1/i.test(metric.name);
    const base = metric?.base?.val ?? view.report?.base.accuracy?.val ?? null;
    const xs = scale(
        points.map(({ x }) => x),
        MARGIN.left,
        WIDTH - MARGIN.right,
    );
    const ys = scale(
        [...points.map(({ y }) => y), ...(base === null ? [] : [base])],
        HEIGHT - MARGIN.bottom,
        MARGIN.top,
    );
    /** @type {(y: number) => string} */
    const valueText = (y) => (isShare ? percent(y, 2) : figure(y));
    const shown = points.find(({ candidate }) => candidate.index === (view.pointed ?? view.chosen));

    /** @param {KeyboardEvent} event */
    function step(event) {
        const order = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
        const here = order.findIndex(({ candidate }) => candidate.index === (view.pointed ?? view.chosen ?? view.best));
        const moves = /** @type {Record<string, number>} */ ({
            ArrowRight: here + 1,
            ArrowUp: here + 1,
            ArrowLeft: here - 1,
            ArrowDown: here - 1,
            Home: 0,
            End: order.length - 1,
        });
        if (event.key in moves) {
            event.preventDefault();
            const next = order[Math.max(0, Math.min(order.length - 1, moves[event.key]))];
            view.point(next.candidate.index);
            requestAnimationFrame(() => {
                /** @type {SVGElement | null} */ (
                    document.querySelector(`[data-candidate="${next.candidate.index}"]`)
                )?.focus();
            });
        } else if (event.key === 'Enter' || event.key === ' ') {
            event.preventDefault();
            if (here >= 0) view.choose(order[here].candidate.index);
        } else if (event.key === 'Escape') {
            view.point(null);
        }
    }

    const tabStop = view.pointed ?? view.chosen ?? view.best ?? points[0].candidate.index;
    const hasTabStop = points.some(({ candidate }) => candidate.index === tabStop);
    const origins = [...new Set(points.map(({ candidate }) => candidate.origin))];
    const rungs = RUNGS.filter((rung) => points.some((point) => point.rung === rung));
    return html`<div class="frontier" @keydown=${step} @mouseleave=${() => view.point(null)}>
            <div class="scroll-x" tabindex="-1">
                <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="group" aria-label="Candidates by MACs and ${name} on validation; ${KEYS}">
                    ${grid(xs, ys, isShare, name)} ${base === null ? null : baseLine(ys, base, valueText)}
                    ${points.length < 2 ? null : svg`<path class="front" d=${stairs(points, xs, ys, metric?.higher_is_better ?? true)}></path>`}
                    ${points.map((point) => {
                        const { index } = point.candidate;
                        const isTab = hasTabStop ? index === tabStop : point === points[0];
                        const classes = `point ${family(point.candidate.origin)} ${point.rung}${index === view.best ? ' best' : ''}${index === view.chosen ? ' chosen' : ''}`;
                        return svg`<g class=${classes} data-candidate=${index} tabindex=${isTab ? 0 : -1} role="button"
                            aria-pressed=${index === view.chosen ? 'true' : 'false'}
                            aria-label="Candidate ${index}, ${originText(point.candidate.origin)}, ${whole(point.x)} MACs, ${valueText(point.y)} ${RUNG_TEXT[point.rung]}"
                            transform="translate(${xs.at(point.x).toFixed(1)} ${ys.at(point.y).toFixed(1)})"
                            @mouseenter=${() => view.point(index)} @focus=${() => view.point(index)} @click=${() => view.choose(index)}>
                            <circle class="aim" r="12"></circle>${mark(point.candidate.origin)}</g>`;
                    })}
                </svg>
            </div>
            <p class="readout" aria-hidden="true">
                ${shown ? figuresOf(shown, valueText) : 'Point at a candidate for its figures, and choose it for its widths.'}
            </p>
        </div>
        <ul class="legend" aria-label="Marks">
            ${origins.map((origin) => html`<li>${key(`${family(origin)} tuned`, origin)}${originText(origin)}</li>`)}
            ${rungs.length > 1 ? rungs.map((rung) => html`<li>${key(`plain ${rung}`, '')}${RUNG_TEXT[rung]}</li>`) : null}
        </ul>`;
}

/**
 * @param {Measured} measured
 * @param {(y: number) => string} valueText
 */
function figuresOf({ candidate, x, y, rung }, valueText) {
    const parts = [
        originText(candidate.origin),
        `${short(x)} MACs (−${percent(candidate.reduction)})`,
        `${valueText(y)} ${RUNG_TEXT[rung]}`,
    ];
    if (candidate.predicted_divergence) parts.push(`predicted divergence ${figure(candidate.predicted_divergence)}`);
    return html`<strong>Candidate ${candidate.index}</strong> ${parts.join(' · ')}`;
}

/**
 * A mark in the legend.
 *
 * @param {string} classes
 * @param {string} origin
 */
function key(classes, origin) {
    return html`<svg class="key ${classes}" viewBox="-9 -9 18 18" aria-hidden="true">${mark(origin)}</svg>`;
}

/** @param {string} origin */
function family(origin) {
    const known = [
        'sensitivity',
        'similarity',
        'regression',
        'greedy_sensitivity',
        'uniform',
        'global_l1',
        'global_l2',
        'config',
    ];
    return `from-${known.includes(origin) ? origin : 'other'}`;
}

/** Shapes tell origins apart where colours do not. @param {string} origin */
function mark(origin) {
    if (origin === 'uniform') return svg`<rect class="mark" x="-4.6" y="-4.6" width="9.2" height="9.2"></rect>`;
    if (origin === 'global_l1') return svg`<path class="mark" d="M0 -6 5.6 4.4 -5.6 4.4Z"></path>`;
    if (origin === 'global_l2') return svg`<path class="mark" d="M0 6 5.6 -4.4 -5.6 -4.4Z"></path>`;
    if (origin === 'greedy_sensitivity') return svg`<path class="mark" d="M0 -6.4 6.4 0 0 6.4 -6.4 0Z"></path>`;
    return svg`<circle class="mark" r="5"></circle>`;
}

/**
 * @param {Scale} xs
 * @param {Scale} ys
 * @param {boolean} isShare
 * @param {string} name
 */
function grid(xs, ys, isShare, name) {
    /** @param {number} tick */
    const tickText = (tick) => (isShare ? percent(tick, ys.step < 0.001 ? 2 : ys.step < 0.01 ? 1 : 0) : figure(tick));
    return svg`<g class="axes" aria-hidden="true">
        ${ys.ticks.map(
            (tick) => svg`<line x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${ys.at(tick)} y2=${ys.at(tick)}></line>
            <text x=${MARGIN.left - 8} y=${ys.at(tick) + 4} text-anchor="end">${tickText(tick)}</text>`,
        )}
        ${xs.ticks.map((tick) => svg`<text x=${xs.at(tick)} y=${HEIGHT - MARGIN.bottom + 18} text-anchor="middle">${xs.text(tick)}</text>`)}
        <text x=${WIDTH - MARGIN.right} y=${HEIGHT - 8} text-anchor="end">MACs</text>
        <text x=${MARGIN.left} y=${HEIGHT - 8}>${name} on validation</text>
    </g>`;
}

/**
 * @param {Scale} ys
 * @param {number} base
 * @param {(y: number) => string} valueText
 */
function baseLine(ys, base, valueText) {
    return svg`<g class="base" aria-hidden="true"><line x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${ys.at(base)} y2=${ys.at(base)}></line>
        <text x=${WIDTH - MARGIN.right} y=${ys.at(base) - 5} text-anchor="end">the original, ${valueText(base)}</text></g>`;
}

/**
 * The best at each cost, as stairs.
 *
 * @param {Measured[]} points
 * @param {Scale} xs
 * @param {Scale} ys
 * @param {boolean} higherIsBetter
 */
function stairs(points, xs, ys, higherIsBetter) {
    const order = [...points].sort((a, b) => a.x - b.x);
    let path = '';
    /** @type {number | null} */
    let best = null;
    for (const { x, y } of order) {
        if (best !== null && (higherIsBetter ? y <= best : y >= best)) continue;
        path +=
            best === null
                ? `M${xs.at(x).toFixed(1)} ${ys.at(y).toFixed(1)}`
                : `H${xs.at(x).toFixed(1)}V${ys.at(y).toFixed(1)}`;
        best = y;
    }
    return path === '' ? '' : `${path}H${WIDTH - MARGIN.right}`;
}
