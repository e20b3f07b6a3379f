// Curves of what is measured while a job runs: losses, metrics and rates, one chart each.

import uPlot from '../../vendor/uplot/uplot.js';
import { capital, figure as figureText, words } from '../text.js';

/** @import { Figure, Story } from './story.js' */

const HEIGHT = 190;
/** Rates are shown where they are what the stage is about. */
const RATES = ['search', 'sensitivity', 'screen', 'tune'];
/** What is in the chart of candidates already. */
const LEFT_OUT = ['screen'];
const MOST_SERIES = 8;

export class Curves {
    /** @param {HTMLElement} host */
    constructor(host) {
        this.host = host;
        /** @type {Map<string, Chart>} */
        this.charts = new Map();
        this.scheme = matchMedia('(prefers-color-scheme: dark)');
        this.recolour = () => this.charts.forEach((chart) => chart.recolour());
        this.scheme.addEventListener('change', this.recolour);
        this.observer = new ResizeObserver(() => this.charts.forEach((chart) => chart.fit()));
        this.observer.observe(host);
    }

    /** @param {Story} story */
    update(story) {
        for (const [key, figure] of story.figures) {
            if (!isShown(figure)) continue;
            let chart = this.charts.get(key);
            if (!chart) {
                chart = new Chart(figure);
                this.charts.set(key, chart);
                this.host.append(chart.element);
            }
            chart.update(figure);
        }
        this.host.classList.toggle('nothing', this.charts.size === 0);
    }

    close() {
        this.scheme.removeEventListener('change', this.recolour);
        this.observer.disconnect();
        this.charts.forEach((chart) => chart.close());
    }
}

/** @param {Figure} figure */
function isShown(figure) {
    const points = Math.max(...[...figure.series.values()].map((series) => series.length));
    if (figure.unit !== '') return RATES.includes(figure.stage) && points >= 2;
    return !LEFT_OUT.includes(figure.stage) && points >= 2;
}

/** @param {string} name */
function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

class Chart {
    /** @param {Figure} figure */
    constructor(figure) {
        this.element = document.createElement('figure');
        this.element.className = 'curve panel';
        this.caption = document.createElement('figcaption');
        this.title = document.createElement('strong');
        this.title.textContent = `${capital(words(figure.stage))}: ${figure.name}`;
        this.latest = document.createElement('span');
        this.latest.className = 'sub';
        this.caption.append(this.title, this.latest);
        this.place = document.createElement('div');
        this.place.setAttribute('role', 'img');
        this.element.append(this.caption, this.place);
        /** @type {any} */
        this.plot = null;
        this.series = 0;
        this.drawn = '';
    }

    /** @param {Figure} figure */
    update(figure) {
        const tasks = [...figure.series.keys()].sort((a, b) => a - b).slice(0, MOST_SERIES);
        const all = tasks.map((task) => figure.series.get(task) ?? []);
        const drawn = all.map((points) => `${points.length}:${points.at(-1)?.y}`).join();
        if (drawn === this.drawn) return;
        this.drawn = drawn;
        const xs = [...new Set(all.flatMap((points) => points.map(({ x }) => x)))].sort((a, b) => a - b);
        const columns = all.map((points) => {
            const byX = new Map(points.map(({ x, y }) => [x, y]));
            return xs.map((x) => byX.get(x) ?? null);
        });
        if (!this.plot || this.series !== tasks.length) this.#make(figure, tasks, [xs, ...columns]);
        else this.plot.setData([xs, ...columns]);
        this.#describe(figure, all);
    }

    /**
     * @param {Figure} figure
     * @param {{ x: number, y: number }[][]} all
     */
    #describe(figure, all) {
        const ys = all.flatMap((points) => points.map(({ y }) => y));
        const latest = all.map((points) => figureText(points.at(-1)?.y)).join(', ');
        this.latest.textContent = `now ${latest}`;
        const range = `between ${figureText(Math.min(...ys))} and ${figureText(Math.max(...ys))}`;
        this.place.setAttribute('aria-label', `${this.title.textContent} over ${figure.x}: ${ys.length} points, ${range}, last ${latest}`);
    }

    /**
     * @param {Figure} figure
     * @param {number[]} tasks
     * @param {unknown[][]} data
     */
    #make(figure, tasks, data) {
        this.plot?.destroy();
        this.series = tasks.length;
        const axis = {
            stroke: () => colour('--muted'),
            grid: { stroke: () => colour('--line'), width: 1 },
            ticks: { show: false },
            font: '12px system-ui, sans-serif',
        };
        this.plot = new uPlot(
            {
                width: Math.max(200, this.place.clientWidth || 320),
                height: HEIGHT,
                legend: { show: tasks.length > 1 },
                cursor: { points: { size: 7 }, drag: { x: false, y: false } },
                scales: { x: { time: false } },
                axes: [
                    { ...axis, label: figure.x, labelSize: 16, labelFont: '12px system-ui, sans-serif', size: 26 },
                    { ...axis, size: 56, values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => figureText(tick)) },
                ],
                series: [
                    { label: figure.x },
                    ...tasks.map((task, place) => ({
                        label: `task ${task}`,
                        stroke: () => colour(`--series-${(place % 5) + 1}`),
                        width: 2,
                        spanGaps: true,
                        points: { show: data[0].length < 30, size: 5, fill: () => colour(`--series-${(place % 5) + 1}`) },
                    })),
                ],
            },
            data,
            this.place,
        );
    }

    recolour() {
        this.plot?.redraw(false);
    }

    fit() {
        const width = this.place.clientWidth;
        if (this.plot && width > 0 && Math.abs(width - this.plot.width) > 1) this.plot.setSize({ width, height: HEIGHT });
    }

    close() {
        this.plot?.destroy();
    }
}
