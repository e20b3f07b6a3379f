// What the events of a job tell: its stages with their times, and the figures that its tasks named on the way.

/** @import { JobEvent } from '../types.js' */

/**
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ stage: string, name: string, unit: string, x: string, series: Map<number, Point[]> }} Figure
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
        const { stage, index, done, unit, note, rate } = data;
        if (note) {
            const { x, axis, figures } = readNote(note);
            // The note of a task that goes on unchanged is sent again with the next step.
            for (const [name, value] of figures)
                this.#add(stage, index, name, '', axis ?? unit, { x: x ?? done, y: value });
        }
        const began = this.#find(stage)?.began;
        if (typeof rate === 'number' && began) {
            const x = Math.max(0, (Date.parse(at) - Date.parse(began)) / 1000);
            this.#add(stage, index, `${unit} a second`, unit, 'seconds', { x, y: rate });
        }
    }

    /**
     * @param {string} stage
     * @param {number} task
     * @param {string} name
     * @param {string} unit
     * @param {string} x
     * @param {Point} point
     */
    #add(stage, task, name, unit, x, point) {
        const key = `${stage} ${name}`;
        let figure = this.figures.get(key);
        if (!figure) {
            figure = { stage, name, unit, x, series: new Map() };
            this.figures.set(key, figure);
        }
        let points = figure.series.get(task);
        if (!points) {
            points = [];
            figure.series.set(task, points);
        }
        const last = points.at(-1);
        // A task that is tried again begins anew.
        if (last && point.x < last.x) points.length = points.findIndex((other) => other.x >= point.x);
        if (points.at(-1)?.x === point.x) points.pop();
        points.push(point);
    }
}

/**
 * Reads the figures of a note such as `epoch 3 of 20: validation accuracy 0.9944, training loss 0.1204`.
 *
 * @param {string} note
 * @returns {{ x: number | null, axis: string | null, figures: [string, number][] }}
 */
export function readNote(note) {
    const colon = note.indexOf(': ');
    const place = /^(epoch|candidate|step) (\d+)\b/.exec(note);
    /** @type {[string, number][]} */
    const figures = [];
    for (const part of note.slice(colon < 0 ? 0 : colon + 2).split(', ')) {
        const match = /^(\D+?) (-?\d+(?:\.\d+)?(?:e-?\d+)?)(?: %)?$/.exec(part);
        if (match) figures.push([match[1], Number(match[2])]);
    }
    return { x: place ? Number(place[2]) : null, axis: place ? `${place[1]}` : null, figures };
}
