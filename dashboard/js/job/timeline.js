// The stages of a job, one below the other, each where it stood in time.

import { html, svg } from '../../vendor/lit-html/lit-html.js';
import { capital, duration, secondsBetween, words } from '../text.js';
import { bar } from '../view/status.js';

/** @import { Job } from '../types.js' */
/** @import { Story, StageTold } from './story.js' */

/** @type {Record<string, string>} */
const DOES = {
    import: 'Reads the file and records what it computes',
    prepare: 'Makes arrays of the data set',
    graph: 'Finds the channels that go together, and what they cost',
    latency: 'Times every layer on this worker',
    importance: 'Orders the channels of every group',
    calibration: 'Measures random configurations',
    encoder: 'Trains the encoder of the search',
    sensitivity: 'Measures what each group bears',
    search: 'Looks through the configurations',
    screen: 'Cuts, proves and repairs every candidate',
    repair: 'Distils for a few steps',
    light_tune: 'Trains the better candidates for a few epochs',
    tune: 'Trains the best',
    control: 'Compares with channels chosen at random',
    finalists: 'Writes the finalists for the judge',
    judge: 'Waits for the judge’s scores',
    export: 'Writes the winner as TorchScript',
    verify: 'Reloads it in a fresh process, compares and times it',
};

/**
 * @param {Job} job
 * @param {Story} story
 */
export function timeline(job, story) {
    if (story.stages.length === 0) {
        return html`<p class="muted">${job.status === 'queued' ? 'The job waits for a free worker.' : 'Nothing has begun yet.'}</p>`;
    }
    const began = Date.parse(story.stages[0].began);
    const end = job.finished_at ? Date.parse(job.finished_at) : Date.now();
    const span = Math.max(1, end - began);
    return html`<ol class="timeline">
        ${story.stages.map((stage, place) => row(job, stage, place === story.stages.length - 1, began, end, span))}
    </ol>`;
}

/**
 * @param {Job} job
 * @param {StageTold} stage
 * @param {boolean} isLast
 * @param {number} began
 * @param {number} end
 * @param {number} span
 */
function row(job, stage, isLast, began, end, span) {
    const state = stateOf(job, stage, isLast);
    const progress = job.progress[stage.name];
    const seconds = secondsBetween(stage.began, stage.ended ?? job.finished_at);
    const from = (100 * (Date.parse(stage.began) - began)) / span;
    const to = (100 * ((stage.ended ? Date.parse(stage.ended) : end) - began)) / span;
    const isRunning = state === 'running' || state === 'paused';
    return html`<li class=${state}>
        <span class="stage-state" aria-hidden="true"></span>
        <div class="stage-name">
            <strong>${capital(words(stage.name))}</strong><span class="visually-hidden">: ${state}</span>
            <span class="sub">${DOES[stage.name] ?? ''}</span>
        </div>
        <div class="stage-how">
            ${
                isRunning && progress
                    ? html`${bar(progress.total > 0 ? progress.done / progress.total : null, `Progress of ${words(stage.name)}`)}
                      <span class="sub">${count(progress)}</span>`
                    : html`<svg class="track" aria-hidden="true">
                      ${svg`<rect class="rail" x="0" y="0" width="100%" height="100%" rx="3"></rect>
                      <rect class="run" x="${from.toFixed(2)}%" y="0" width="${Math.max(0.6, to - from).toFixed(2)}%" height="100%" rx="3"></rect>`}
                  </svg>`
            }
            ${remarks(stage)}
        </div>
        <span class="stage-time">${duration(seconds)}</span>
    </li>`;
}

/**
 * @param {Job} job
 * @param {StageTold} stage
 * @param {boolean} isLast
 */
function stateOf(job, stage, isLast) {
    if (isLast && job.status === 'failed') return 'failed';
    if (isLast && job.status === 'cancelled') return 'cancelled';
    if (stage.ended || job.status === 'succeeded' || !isLast) return 'done';
    return job.paused_at ? 'paused' : 'running';
}

/** @param {Job['progress'][string]} progress */
function count({ done, total, unit, rate, eta_s, note }) {
    const parts = [`${done} of ${total} ${unit}`];
    if (rate) parts.push(`${Number(rate.toPrecision(3)).toLocaleString('en')} a second`);
    if (eta_s) parts.push(`${duration(eta_s)} left`);
    return html`${parts.join(' · ')}${note ? html`<br />${note}` : null}`;
}

/** @param {StageTold} stage */
function remarks(stage) {
    const parts = [];
    if (stage.tasks > 1) parts.push(`${stage.finished} of ${stage.tasks} tasks`);
    if (stage.reused > 0)
        parts.push(`${stage.reused} measurements of earlier jobs used, ${duration(stage.saved)} saved`);
    for (const reason of stage.retried) parts.push(`tried again: ${reason}`);
    return parts.length > 0 ? html`<span class="sub">${parts.join(' · ')}</span>` : null;
}
