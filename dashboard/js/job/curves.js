// Curves of what is measured while a job runs: losses, metrics and rates, one chart each.

import { html, svg } from '../../vendor/lit-html/lit-html.js';
import { capital, figure as figureText, words } from '../text.js';
import { scale } from '../view/scale.js';

/** @import { Figure, Point, Story } from './story.js' */

const WIDTH = 360;
const HEIGHT = 190;
const MARGIN = { left: 52, right: 10, top: 10, bottom: 34 };
/** Rates are shown where they are what the stage is about. */
const RATES = ['search', 'sensitivity', 'screen', 'tune'];
/** What is in the chart of candidates already. */
const LEFT_OUT = ['screen'];
const MOST_SERIES = 5;
/** By which `task 10` comes after `task 9`. */
const NATURAL = new Intl.Collator('en', { numeric: true });
/** Points are marked while they are few. */
const MARKED = 30;

/** @param {Figure} figure */
function isShown(figure) {
    const points = Math.max(...[...figure.series.values()].map((series) => series.length));
    if (figure.unit !== '') return RATES.includes(figure.stage) && points >= 2;
    return !LEFT_OUT.includes(figure.stage) && points >= 2;
}

/**
 * All charts of a job.
 *
 * @param {Story} story
 * @param {{ key: string, x: number } | null} pointed
 * @param {(next: { key: string, x: number } | null) => void} point
 */
export function curves(story, pointed, point) {
    const shown = [...story.figures].filter(([, figure]) => isShown(figure));
    if (shown.length === 0)
        return html`<p class="panel muted">Nothing is measured often enough yet to make a curve.</p>`;
    return html`<div class="curves">
        ${shown.map(([key, figure]) => chart(figure, pointed?.key === key ? pointed.x : null, (x) => point(x === null ? null : { key, x })))}
    </div>`;
}

/**
 * @param {Figure} figure
 * @param {number | null} pointed
 * @param {(x: number | null) => void} point
 */
function chart(figure, pointed, point) {
    const series = [...figure.series].sort(([a], [b]) => NATURAL.compare(a, b)).slice(0, MOST_SERIES);
    const points = series.flatMap(([, points]) => points);
    const xs = scale(
        points.map(({ x }) => x),
        MARGIN.left,
        WIDTH - MARGIN.right,
        0.01,
    );
    const ys = scale(
        points.map(({ y }) => y),
        HEIGHT - MARGIN.bottom,
        MARGIN.top,
    );
    const isTime = figure.x === 'seconds';
    const title = `${capital(words(figure.stage))}: ${figure.name}`;
    const latest = series.map(([, points]) => figureText(points.at(-1)?.y)).join(', ');

    /** @param {PointerEvent} event */
    const follow = (event) => {
        const box = /** @type {SVGElement} */ (event.currentTarget).getBoundingClientRect();
        const x = ((event.clientX - box.x) / box.width) * WIDTH;
        const nearest = points.reduce((best, other) =>
            Math.abs(xs.at(other.x) - x) < Math.abs(xs.at(best.x) - x) ? other : best,
        );
        point(nearest.x);
    };
    return html`<figure class="curve panel">
        <figcaption>
            <strong>${title}</strong>
            <span class="sub">${pointed === null ? `now ${latest}` : `${figureText(pointed)} ${figure.x}: ${valuesAt(series, pointed)}`}</span>
        </figcaption>
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" @pointermove=${follow} @pointerleave=${() => point(null)}
            aria-label="${title} over ${figure.x}: ${points.length} points between ${figureText(ys.least)} and ${figureText(ys.most)}, last ${latest}">
            ${svg`<g class="axes">
                ${ys.ticks.map(
                    (
                        tick,
                    ) => svg`<line x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${ys.at(tick)} y2=${ys.at(tick)}></line>
                    <text x=${MARGIN.left - 7} y=${ys.at(tick) + 4} text-anchor="end">${ys.text(tick)}</text>`,
                )}
                ${xs.ticks
                    .filter((tick) => isTime || Number.isInteger(tick))
                    .map(
                        (tick) => svg`<text x=${xs.at(tick)} y=${HEIGHT - MARGIN.bottom + 15} text-anchor="middle">
                            ${isTime ? xs.text(tick) : tick}
                        </text>`,
                    )}
                <text x=${WIDTH - MARGIN.right} y=${HEIGHT - 5} text-anchor="end">${figure.x}</text>
            </g>
            ${pointed === null ? null : svg`<line class="pointer" x1=${xs.at(pointed)} x2=${xs.at(pointed)} y1=${MARGIN.top} y2=${HEIGHT - MARGIN.bottom}></line>`}
            ${series.map(
                ([, points], place) => svg`<g class="series series-${place + 1}">
                <path d=${points.map(({ x, y }, step) => `${step === 0 ? 'M' : 'L'}${xs.at(x).toFixed(1)} ${ys.at(y).toFixed(1)}`).join('')}></path>
                ${points.length > MARKED ? null : points.map(({ x, y }) => svg`<circle cx=${xs.at(x).toFixed(1)} cy=${ys.at(y).toFixed(1)} r="2.6"></circle>`)}
            </g>`,
            )}`}
        </svg>
        ${series.length > 1 ? legend(series.map(([name]) => name)) : null}
    </figure>`;
}

/** @param {string[]} names */
function legend(names) {
    return html`<ul class="legend">
        ${names.map(
            (name, place) => html`<li><span class="swatch series-${place + 1}" aria-hidden="true"></span>${name}</li>`,
        )}
    </ul>`;
}

/**
 * @param {[string, Point[]][]} series
 * @param {number} x
 */
function valuesAt(series, x) {
    const values = series.map(([, points]) => points.find((point) => point.x === x)?.y).filter((y) => y !== undefined);
    return values.map((y) => figureText(y)).join(', ');
}
