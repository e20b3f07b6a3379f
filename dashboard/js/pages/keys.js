// Keys of the administrator's tenant, and what it has of what quotas limit.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { get, post, remove } from '../server/api.js';
import { poll } from '../server/poll.js';
import { current } from '../server/session.js';
import { announce } from '../router.js';
import { bytes, time, whole } from '../text.js';
import { copyable } from '../view/copy.js';
import { ask } from '../view/dialog.js';
import { emptyPanel, loading, problemPanel, wordsOf } from '../view/panel.js';
import { bar } from '../view/status.js';

/** @import { Key, Page, Quotas } from '../types.js' */

/** @type {[string, string][]} */
const SCOPES = [
    ['read', 'read: sees everything of the tenant'],
    ['submit', 'submit: uploads and runs jobs too'],
    ['admin', 'admin: makes and revokes keys too'],
];

/** @type {import('../router.js').PageOf} */
export const keysPage = {
    title: 'Keys and quotas',
    open(host) {
        /** @type {Key[] | null} */
        let keys = null;
        /** @type {string | null} */
        let next = null;
        /** @type {Quotas | null} */
        let quotas = null;
        /** @type {unknown} */
        let problem = null;
        /** @type {(Key & { secret: string }) | null} */
        let made = null;
        let formProblem = '';
        const asking = poll(
            async (signal) => {
                const [page, found] = await Promise.all([get('/v1/keys?limit=200', signal), get('/v1/quotas', signal)]);
                ({ items: keys, next } = /** @type {Page<Key>} */ (page));
                quotas = found;
                problem = null;
                draw();
                return null;
            },
            (error) => {
                problem = error;
                draw();
            },
        );

        async function more() {
            const page = await get(`/v1/keys?limit=200&after=${next}`);
            keys = [...(keys ?? []), ...page.items];
            next = page.next;
            draw();
        }

        /** @param {SubmitEvent} event */
        async function create(event) {
            event.preventDefault();
            const form = /** @type {HTMLFormElement} */ (event.target);
            const data = new FormData(form);
            const days = String(data.get('days')).trim();
            formProblem = '';
            try {
                made = await post('/v1/keys', {
                    name: String(data.get('name')).trim(),
                    scope: data.get('scope'),
                    ...(days === '' ? {} : { expires_in_days: Number(days) }),
                });
                form.reset();
                announce('The key is made. It is shown once.');
                asking.soon();
            } catch (error) {
                formProblem = wordsOf(error).detail;
            }
            draw();
        }

        /** @param {Key} key */
        async function revoke(key) {
            const isOwn = key.id === current()?.key_id;
            const text = isOwn
                ? 'It is the key that you are signed in with: you will be signed out.'
                : 'Whoever uses it is refused from then on.';
            if (!(await ask({ title: `Revoke “${key.name}”?`, text, yes: 'Revoke it' }))) return;
            try {
                await remove(`/v1/keys/${key.id}`);
                asking.soon();
            } catch (error) {
                problem = error;
                draw();
            }
        }

        function draw() {
            render(
                html`<div class="title"><h1>Keys and quotas</h1></div>
                    ${problem ? problemPanel(problem) : null}
                    ${quotas ? usage(quotas) : null}
                    <section>
                        <h2>New key</h2>
                        ${
                            made
                                ? html`<div class="panel made" role="status">
                                  <p><strong>${made.name}</strong> is made. Copy the key now: it is not shown again.</p>
                                  ${copyable(made.secret, 'the key')}
                              </div>`
                                : null
                        }
                        <form class="panel key-form" @submit=${create} novalidate>
                            <div class="field">
                                <label for="key-name">Name</label>
                                <input id="key-name" name="name" autocomplete="off" placeholder="build machine" aria-describedby="key-form-problem" />
                            </div>
                            <div class="field">
                                <label for="key-scope">May</label>
                                <select id="key-scope" name="scope">
                                    ${SCOPES.map(([scope, text]) => html`<option value=${scope} ?selected=${scope === 'submit'}>${text}</option>`)}
                                </select>
                            </div>
                            <div class="field">
                                <label for="key-days">Days it is good for</label>
                                <input id="key-days" name="days" inputmode="numeric" autocomplete="off" placeholder="for ever" />
                            </div>
                            <button class="primary">Make the key</button>
                            <p class="field-problem" id="key-form-problem" role="alert">${formProblem}</p>
                        </form>
                    </section>
                    <section><h2>Keys</h2>${keys ? table(keys) : problem ? null : loading('keys')}</section>`,
                host,
            );
        }

        /** @param {Key[]} keys */
        function table(keys) {
            if (keys.length === 0)
                return emptyPanel('No keys', 'On a server without keys everyone who reaches it is let in.');
            return html`<div class="table-frame">
                    <table class="cards" aria-label="Keys">
                        <thead>
                            <tr>
                                <th scope="col">Name</th>
                                <th scope="col">May</th>
                                <th scope="col">State</th>
                                <th scope="col">Made</th>
                                <th scope="col">Last used</th>
                                <th scope="col"><span class="visually-hidden">Revoke</span></th>
                            </tr>
                        </thead>
                        <tbody>
                            ${keys.map(
                                (key) => html`<tr>
                                    <td class="main-cell"><strong class="name">${key.name}</strong><span class="sub mono">${key.id}</span></td>
                                    <td data-label="May"><span>${key.scope}</span></td>
                                    <td data-label="State">${state(key)}</td>
                                    <td data-label="Made" class="nowrap"><span>${time(key.created_at)}</span></td>
                                    <td data-label="Last used" class="nowrap"><span>${key.last_used_at ? time(key.last_used_at) : 'never'}</span></td>
                                    <td class="number">${key.revoked_at ? null : html`<button class="danger-quiet" aria-label="Revoke ${key.name}" @click=${() => revoke(key)}>Revoke</button>`}</td>
                                </tr>`,
                            )}
                        </tbody>
                    </table>
                </div>
                ${next ? html`<div class="pager"><button @click=${more}>Older keys</button></div>` : null}`;
        }

        draw();
        return asking.stop;
    },
};

/** @param {Key} key */
function state(key) {
    if (key.revoked_at) return html`<span class="badge failed">revoked</span>`;
    if (key.expires_at && Date.parse(key.expires_at) < Date.now()) return html`<span class="badge">expired</span>`;
    if (key.expires_at)
        return html`<span class="badge granted">until ${new Date(key.expires_at).toLocaleDateString('en', { dateStyle: 'medium' })}</span>`;
    return html`<span class="badge granted">in force</span>`;
}

/** @param {Quotas} quotas */
function usage({ open_jobs, stored_bytes, requests_per_minute }) {
    return html`<section>
        <h2>Quotas of ${current()?.tenant}</h2>
        <div class="tiles">
            ${quota('Jobs queued or running', whole(open_jobs.used), open_jobs, whole)} ${quota('Stored', bytes(stored_bytes.used), stored_bytes, bytes)}
            <div class="panel tile">
                <span class="tile-name">Requests of a key in a minute</span>
                <span class="tile-after">${requests_per_minute === null ? 'no limit' : whole(requests_per_minute)}</span>
            </div>
        </div>
    </section>`;
}

/**
 * @param {string} name
 * @param {string} used
 * @param {{ used: number, most: number | null }} quota
 * @param {(amount: number) => string} text
 */
function quota(name, used, quota, text) {
    return html`<div class="panel tile">
        <span class="tile-name">${name}</span>
        <span class="tile-after">${used}</span>
        ${
            quota.most === null
                ? html`<span class="sub">no limit</span>`
                : html`${bar(Math.min(1, quota.used / Math.max(1, quota.most)), name)}<span class="sub">of ${text(quota.most)}</span>`
        }
    </div>`;
}
