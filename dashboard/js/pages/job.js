// One job: what it is doing, what it found, what came of it.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { get, Problem } from '../server/api.js';
import { follow } from '../server/stream.js';
import { poll } from '../server/poll.js';
import { announce, setTitle } from '../router.js';
import { duration, prose, secondsBetween, shortId, targetText, time, words } from '../text.js';
import { actions } from '../job/actions.js';
import { candidatePanel } from '../job/candidate.js';
import { curves } from '../job/curves.js';
import { downloads } from '../job/downloads.js';
import { judgementSection } from '../job/judgement.js';
import { frontier } from '../job/frontier.js';
import { outcome } from '../job/outcome.js';
import { Story } from '../job/story.js';
import { timeline } from '../job/timeline.js';
import { widths } from '../job/widths.js';
import { copyable } from '../view/copy.js';
import { loading, problemPanel, warnings } from '../view/panel.js';
import { badge, hasEnded, statusText } from '../view/status.js';

/** @import { Artifact, Candidate, Job, Judgements, Model, Report } from '../types.js' */
/** @import { Connection } from '../server/stream.js' */

/** The job is asked for again this long after an event, and at the latest after so long without any. */
const AFTER_EVENT = 1_000;
const WITHOUT_EVENTS = 20_000;
const BROKE_OFF = 'Live updates broke off. The page reconnects by itself and misses nothing.';
/** Stages after which there is more to say of candidates. */
const MEASURING = ['search', 'screen', 'repair', 'light_tune', 'tune'];

/** @type {import('../router.js').PageOf} */
export const jobPage = {
    title: 'Job',
    open(host, { id }) {
        const path = `/v1/jobs/${encodeURIComponent(id)}`;
        const story = new Story();
        /** @type {Job | null} */
        let job = null;
        /** @type {Model | null} */
        let model = null;
        /** @type {Report | null} */
        let report = null;
        /** @type {Judgements | null} */
        let judgements = null;
        /** @type {Artifact[]} */
        let artifacts = [];
        /** @type {Candidate[]} */
        let candidates = [];
        /** @type {unknown} */
        let problem = null;
        /** @type {Connection} */
        let connection = 'connecting';
        /** @type {number | null} */
        let chosen = null;
        /** @type {number | null} */
        let pointed = null;
        let onlyWeights = true;
        let candidatesAreOld = true;
        let isLeft = false;
        /** @type {{ key: string, x: number } | null} */
        let pointedCurve = null;
        /** @type {(() => void) | null} */
        let unfollow = null;

        const asking = poll(
            async (signal) => {
                const before = job;
                job = /** @type {Job} */ (await get(path, signal));
                problem = null;
                setTitle(`${job.name ?? 'Job'}: ${statusText(job)}`);
                if (before && statusText(before) !== statusText(job)) announce(`The job is ${statusText(job)}`);
                if (!unfollow) unfollow = follow(id, hear, hearConnection);
                draw();
                await Promise.all([
                    askModel(signal),
                    askCandidates(signal),
                    askArtifacts(signal),
                    askJudgements(signal),
                ]);
                draw();
                return hasEnded(job.status) ? null : WITHOUT_EVENTS;
            },
            (error) => {
                problem = error;
                if (error instanceof Problem && !error.isPassing) asking.stop();
                draw();
            },
        );

        /** @param {AbortSignal} signal */
        async function askModel(signal) {
            // Its summary comes with the stage graph at the latest.
            if (model?.summary || !job) return;
            // The model may be deleted; the job is still there.
            model = await get(`/v1/models/${job.model_id}`, signal).catch(() => null);
        }

        /** @param {AbortSignal} signal */
        async function askCandidates(signal) {
            if (!candidatesAreOld) return;
            candidatesAreOld = false;
            /** @type {Candidate[]} */
            const found = [];
            let after = '';
            for (;;) {
                const page = await get(`${path}/candidates?limit=200${after}`, signal);
                found.push(...page.items);
                if (page.next === null || page.next === undefined) break;
                after = `&after=${page.next}`;
            }
            candidates = found;
        }

        /** @param {AbortSignal} signal */
        async function askArtifacts(signal) {
            if (!job || !hasEnded(job.status)) return;
            artifacts = (await get(`${path}/artifacts`, signal)).items;
            if (!report && artifacts.some(({ name }) => name === 'report.json'))
                report = await get(`${path}/artifacts/report.json`, signal);
        }

        /** @param {AbortSignal} signal */
        async function askJudgements(signal) {
            if (job?.spec.judge && ['judge', 'export', 'verify'].includes(job.stage))
                judgements = await get(`${path}/judgements`, signal);
        }

        /** @type {ReturnType<typeof setTimeout> | undefined} */
        let askingSoon;
        /** @param {import('../types.js').JobEvent[]} events */
        function hear(events) {
            for (const event of events) {
                story.hear(event);
                if (event.type === 'task_finished' && MEASURING.includes(event.data.stage)) candidatesAreOld = true;
            }
            if (isLeft) return;
            if (job && !(hasEnded(job.status) && report)) {
                askingSoon ??= setTimeout(() => {
                    askingSoon = undefined;
                    asking.soon();
                }, AFTER_EVENT);
            }
            draw();
        }

        /** @param {Connection} next */
        function hearConnection(next) {
            if (next === connection || isLeft) return;
            connection = next;
            draw();
        }

        /** @param {Job} next */
        function changed(next) {
            job = next;
            announce(`The job is ${statusText(next)}`);
            draw();
        }

        /** @param {Judgements} next */
        function judged(next) {
            judgements = next;
            draw();
        }

        const ticking = setInterval(() => job && !hasEnded(job.status) && !document.hidden && draw(), 1000);

        function draw() {
            if (isLeft) return;
            render(page(), host);
        }

        function page() {
            if (!job) return html`<h1>Job</h1>${problem ? problemPanel(problem) : loading('the job')}`;
            const isOpen = !hasEnded(job.status);
            return html`
                <nav class="crumbs" aria-label="Where this is"><a href="/">Jobs</a></nav>
                <div class="title">
                    <div>
                        <h1>${job.name ?? 'Unnamed job'}</h1>
                        <p class="under-title">${badge(job)} ${copyable(job.id, 'the job’s id')}</p>
                    </div>
                    ${actions(job, changed)}
                </div>
                ${problem ? problemPanel(problem, 'What is below may be old; it is asked again in a moment.') : null}
                ${isOpen && connection === 'lost' ? html`<p class="panel notice" role="status">${BROKE_OFF}</p>` : null}
                ${job.error ? failure(job) : null} ${facts(job)} ${outcome(job, model)}
                ${report && report.warnings.length > 0 ? warnings('Warnings', report.warnings) : null}
                ${hasEnded(job.status) ? downloads(artifacts) : null}
                ${judgements?.finalists.length ? judgementSection(job.id, judgements, judged) : null}
                ${isOpen && candidates.length === 0 ? null : candidatesSection(job)}
                <section><h2>Stages</h2><div class="panel">${timeline(job, story)}</div></section>
                <section><h2>Curves</h2>${curves(story, pointedCurve, pointCurve)}</section>
                ${report ? html`<section class="panel">${widths(report.layers, onlyWeights, setOnlyWeights)}</section>` : null}
                <details class="panel spec"><summary>Job spec, as run</summary><pre tabindex="0">${JSON.stringify(job.spec, null, 2)}</pre></details>
            `;
        }

        /** @param {Job} job */
        function candidatesSection(job) {
            return html`<section>
                <h2>Candidates</h2>
                <div class="panel">
                    ${frontier({
                        candidates,
                        report,
                        best: job.best?.candidate ?? null,
                        chosen,
                        pointed,
                        choose(index) {
                            chosen = chosen === index ? null : index;
                            draw();
                        },
                        point(index) {
                            if (pointed === index) return;
                            pointed = index;
                            draw();
                        },
                    })}
                </div>
                ${chosenPanel()}
            </section>`;
        }

        /** @param {{ key: string, x: number } | null} next */
        function pointCurve(next) {
            if (next?.key === pointedCurve?.key && next?.x === pointedCurve?.x) return;
            pointedCurve = next;
            draw();
        }

        /** @param {boolean} only */
        function setOnlyWeights(only) {
            onlyWeights = only;
            draw();
        }

        function chosenPanel() {
            const candidate = candidates.find(({ index }) => index === chosen);
            if (!candidate) return null;
            const close = () => {
                chosen = null;
                draw();
            };
            return candidatePanel(candidate, model?.summary ?? null, close);
        }

        /** @param {Job} job */
        function facts(job) {
            const ran = secondsBetween(job.started_at, job.finished_at);
            return html`<dl class="panel facts wide">
                <dt>Target</dt>
                <dd>${targetText(job.spec.target)}</dd>
                <dt>Method</dt>
                <dd>${words(job.spec.method)}${job.spec.preset ? `, preset ${job.spec.preset}` : ''}</dd>
                <dt>Model</dt>
                <dd><a href="/models/${job.model_id}">${model?.name ?? shortId(job.model_id)}</a></dd>
                <dt>Data set</dt>
                <dd>${job.dataset_id ? html`<span class="mono" title=${job.dataset_id}>${shortId(job.dataset_id)}</span>` : 'none'}</dd>
                <dt>Submitted</dt>
                <dd>${time(job.created_at)}</dd>
                ${job.started_at ? html`<dt>${job.finished_at ? 'Took' : 'Runs for'}</dt><dd>${duration(ran)}</dd>` : null}
                ${job.eta_s !== null && !hasEnded(job.status) ? html`<dt>Left</dt><dd>about ${duration(job.eta_s)}</dd>` : null}
                ${job.saved_s > 0 ? html`<dt>Saved</dt><dd>${duration(job.saved_s)}, by earlier jobs</dd>` : null}
                ${job.clone_of ? html`<dt>Made from</dt><dd><a class="mono" href="/jobs/${job.clone_of}">${shortId(job.clone_of)}</a></dd>` : null}
                ${job.expires_at ? html`<dt>Deleted</dt><dd>on ${new Date(job.expires_at).toLocaleDateString('en', { dateStyle: 'medium' })}</dd>` : null}
                ${Object.entries(job.labels).map(
                    ([key, value]) => html`<dt>${key}</dt>
                        <dd><a class="chip" href="/?label=${encodeURIComponent(`${key}:${value}`)}">${value}</a></dd>`,
                )}
            </dl>`;
        }

        return () => {
            isLeft = true;
            clearInterval(ticking);
            clearTimeout(askingSoon);
            asking.stop();
            unfollow?.();
        };
    },
};

/** @param {Job} job */
function failure(job) {
    const error = /** @type {import('../types.js').JobError} */ (job.error);
    return html`<section class="panel problem" role="alert">
        <h2>${error.title}</h2>
        <p>${prose(error.detail)}</p>
        ${error.hint ? html`<p class="hint">${prose(error.hint)}</p>` : null}
        <p class="sub">In the stage ${words(error.stage)}${error.node ? html`, at <code>${error.node}</code>` : null}. Code <code>${error.code}</code>.</p>
    </section>`;
}
