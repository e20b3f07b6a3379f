// What the events of a job tell: its stages with their times, and what its tasks measured on the way.

import { words } from '../text.js';

/** @import { JobEvent } from '../types.js' */

/**
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ stage: string, name: string, unit: string, x: string, series: Map<string, Point[]> }} Figure
 * @typedef {{ unit: string, step: number, candidate?: number, figures: Record<string, number> }} Reading
 * @typedef {{ name: string, began: string, ended: string | null, tasks: number, finished: number, retried: string[], reused: number, saved: number }} StageTold
 */

export class Story {
    constructor() {
        /** @type {StageTold[]} */
        this.stages = [];
        /** @type {Map<string, Figure>} */
        this.figures = new Map();
        /** @type {string | null} */
        this.began = null;
        /** @type {string | null} */
        this.ended = null;
        /** @type {string | null} */
        this.last = null;
    }

    /** @param {JobEvent} event */
    hear({ type, at, data }) {
        this.last = at;
        if (type === 'running') this.began ??= at;
        if (type === 'stage') this.#begin(data.stage, at, data.tasks);
        if (type === 'reused') this.#reuse(data.stage, at, data.measurements, data.saved_s);
        if (type === 'task_finished') this.#finish(data.stage, at);
        if (type === 'task_retried') this.#find(data.stage)?.retried.push(data.reason);
        if (type === 'progress') this.#measure(data, at);
        if (data.readings) this.#read(data.stage, data.index, data.readings);
        if (type === 'succeeded' || type === 'failed' || type === 'cancelled') {
            this.ended = at;
            const now = this.stages.at(-1);
            if (now) now.ended ??= at;
        }
    }

    /** @param {string} name */
    #find(name) {
        return this.stages.find((stage) => stage.name === name);
    }

    /**
     * @param {string} name
     * @param {string} at
     * @param {number} tasks
     */
    #begin(name, at, tasks) {
        const before = this.stages.at(-1);
        if (before) before.ended ??= at;
        const known = this.#find(name);
        if (known) known.tasks = tasks;
        else this.stages.push({ name, began: at, ended: null, tasks, finished: 0, retried: [], reused: 0, saved: 0 });
    }

    /**
     * @param {string} name
     * @param {string} at
     * @param {number} measurements
     * @param {number} saved
     */
    #reuse(name, at, measurements, saved) {
        let stage = this.#find(name);
        if (!stage) {
            stage = { name, began: at, ended: null, tasks: 0, finished: 0, retried: [], reused: 0, saved: 0 };
            this.stages.push(stage);
        }
        stage.reused += measurements;
        stage.saved += saved;
    }

    /**
     * @param {string} name
     * @param {string} at
     */
    #finish(name, at) {
        const stage = this.#find(name);
        if (!stage) return;
        stage.finished += 1;
        if (stage.finished >= stage.tasks) stage.ended = at;
    }

    /**
     * @param {Record<string, any>} data
     * @param {string} at
     */
    #measure(data, at) {
        const { stage, index, unit, rate } = data;
        const began = this.#find(stage)?.began;
        if (typeof rate === 'number' && began) {
            const x = Math.max(0, (Date.parse(at) - Date.parse(began)) / 1000);
            this.#add(stage, `task ${index}`, `${unit} a second`, unit, 'seconds', { x, y: rate });
        }
    }

    /**
     * @param {string} stage
     * @param {number} index
     * @param {Reading[]} readings
     */
    #read(stage, index, readings) {
        for (const { unit, step, candidate, figures } of readings) {
            const series = candidate === undefined ? `task ${index}` : `candidate ${candidate}`;
            for (const [name, y] of Object.entries(figures))
                this.#add(stage, series, words(name), '', unit, { x: step, y });
        }
    }

    /**
     * @param {string} stage
     * @param {string} of
     * @param {string} name
     * @param {string} unit
     * @param {string} x
     * @param {Point} point
     */
    #add(stage, of, name, unit, x, point) {
        const key = `${stage} ${name}`;
        let figure = this.figures.get(key);
        if (!figure) {
            figure = { stage, name, unit, x, series: new Map() };
            this.figures.set(key, figure);
        }
        let points = figure.series.get(of);
        if (!points) {
            points = [];
            figure.series.set(of, points);
        }
        const last = points.at(-1);
        // A task that is tried again begins anew.
        if (last && point.x < last.x) points.length = points.findIndex((other) => other.x >= point.x);
        if (points.at(-1)?.x === point.x) points.pop();
        points.push(point);
    }
}
