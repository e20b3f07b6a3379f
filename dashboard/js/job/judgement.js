// The finalists of a job that has a judge outside, and the scores that somebody gives them here.

import { html } from '../../vendor/lit-html/lit-html.js';
import { post } from '../server/api.js';
import { maySubmit } from '../server/session.js';
import { announce } from '../router.js';
import { bytes, duration, figure, originText, percent, short, words } from '../text.js';
import { trying } from '../view/trying.js';

/** @import { Finalist, Judgements } from '../types.js' */

/**
 * @param {string} job
 * @param {Judgements} judgements
 * @param {(next: Judgements) => void} changed
 */
export function judgementSection(job, judgements, changed) {
    const { state, name, deadline, higher_is_better, finalists, winner, decided_by, reason } = judgements;
    const isOpen = state === 'open';
    const what = name ? words(name) : 'score';
    const left = deadline ? Math.max(0, (Date.parse(deadline) - Date.now()) / 1000) : 0;

    /** @param {Finalist} finalist */
    const score = ({ candidate }) =>
        trying(async () => {
            const field = /** @type {HTMLInputElement} */ (document.getElementById(`score-${candidate}`));
            // The browser says at the field what is missing.
            if (!field.reportValidity()) return;
            changed(await post(`/v1/jobs/${job}/judgements`, { candidate, score: Number(field.value) }));
            announce(`Candidate ${candidate} has the score ${field.value}`);
        });

    return html`<section>
        <h2>Judgement</h2>
        <div class="panel">
            ${
                isOpen
                    ? html`<p>
                          Try each of these networks and say how good it is: the one with the
                          ${higher_is_better ? 'greatest' : 'smallest'} ${what} is exported. When
                          ${duration(left)} are over, the job’s own metric chooses.
                      </p>`
                    : html`<p>${winner === null ? 'It was never decided.' : `Candidate ${winner} was chosen by ${decided_by === 'judge' ? 'the judge' : words(decided_by ?? '')}.`} ${reason ?? ''}</p>`
            }
            <div class="table-frame">
                <table class="cards" aria-label="Finalists">
                    <thead>
                        <tr>
                            <th scope="col">Network</th>
                            <th scope="col">MACs</th>
                            <th scope="col">On validation</th>
                            <th scope="col">File</th>
                            <th scope="col">${what}</th>
                        </tr>
                    </thead>
                    <tbody>
                        ${finalists.map(
                            (finalist) => html`<tr>
                                <td class="main-cell">Candidate ${finalist.candidate}<span class="sub">${originText(finalist.origin)}</span></td>
                                <td data-label="MACs"><span>${short(finalist.macs)}<span class="sub">−${percent(finalist.reduction)}</span></span></td>
                                <td data-label="On validation"><span>${own(finalist)}</span></td>
                                <td data-label="File"><a href=${finalist.url} download>${bytes(finalist.bytes)}</a></td>
                                <td data-label=${what}>${isOpen && maySubmit() ? scoreForm(finalist, what, score(finalist)) : finalist.score === null ? 'none' : figure(finalist.score)}</td>
                            </tr>`,
                        )}
                    </tbody>
                </table>
            </div>
        </div>
    </section>`;
}

/**
 * @param {Finalist} finalist
 * @param {string} what
 * @param {(event: Event) => Promise<void>} give
 */
function scoreForm({ candidate, score }, what, give) {
    return html`<span class="score-form">
        <input id="score-${candidate}" type="number" step="any" required aria-label="${what} of candidate ${candidate}" .value=${score === null ? '' : String(score)} />
        <button class="mini" aria-label="Give candidate ${candidate} this score" @click=${give}>Give</button>
    </span>`;
}

/** @param {Finalist} finalist */
function own({ val_accuracy, val_metric }) {
    if (typeof val_accuracy === 'number') return percent(val_accuracy, 2);
    return typeof val_metric === 'number' ? figure(val_metric) : '–';
}
