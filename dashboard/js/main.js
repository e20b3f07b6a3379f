// Starts the dashboard: who is there, the pages, and the frame around them.

import { html, render } from '../vendor/lit-html/lit-html.js';
import { get, Problem, remove } from './server/api.js';
import { poll } from './server/poll.js';
import { current, isAdministrator, maySubmit, onSessionOver, setCurrent } from './server/session.js';
import { go, route, show, start } from './router.js';
import { jobsPage } from './pages/jobs.js';
import { jobPage } from './pages/job.js';
import { modelsPage } from './pages/models.js';
import { datasetsPage } from './pages/datasets.js';
import { signInPage } from './pages/sign-in.js';
import { missingPage } from './pages/missing.js';
import { later } from './view/later.js';
import { problemPanel } from './view/panel.js';

route('/', jobsPage);
route('/jobs/{id}', jobPage);
route('/models', modelsPage);
route(
    '/models/{id}',
    later('Model', async () => (await import('./pages/model.js')).modelPage),
);
route('/datasets', datasetsPage);
route(
    '/submit',
    later('New job', async () => (await import('./pages/submit.js')).submitPage),
);
route(
    '/keys',
    later('Keys and quotas', async () => (await import('./pages/keys.js')).keysPage),
);
route('/sign-in', signInPage);
route('.*', missingPage);

const header = /** @type {HTMLElement} */ (document.getElementById('header'));
const footer = /** @type {HTMLElement} */ (document.getElementById('footer'));
const logo = new URL('../logo.svg', import.meta.url).pathname;

/** @param {string} path */
function drawFrame(path) {
    const isSignedIn = current() !== null;
    /** @type {(to: string, text: string, isHere: boolean) => unknown} */
    const link = (to, text, isHere) => html`<a href=${to} aria-current=${isHere ? 'page' : 'false'}>${text}</a>`;
    const pages = html`<nav aria-label="Pages">
        ${link('/', 'Jobs', path === '/' || path.startsWith('/jobs/'))}
        ${link('/models', 'Models', path.startsWith('/models'))}
        ${link('/datasets', 'Data sets', path === '/datasets')}
        ${isAdministrator() ? link('/keys', 'Keys and quotas', path === '/keys') : null}
    </nav>`;
    render(
        html`<div class="bar">
            <a class="brand" href="/"><img src=${logo} alt="" width="26" height="26" />Secateur</a>
            ${isSignedIn ? pages : null}
            <div class="bar-end">
                ${isSignedIn && maySubmit() && path !== '/submit' ? html`<a class="button primary" href="/submit">New job</a>` : null}
                ${current()?.csrf_token ? html`<button class="quiet" @click=${signOut}>Sign out</button>` : null}
            </div>
        </div>`,
        header,
    );
    const tenant = current()?.key_id ? html`<span>Tenant ${current()?.tenant}, ${current()?.scope} key</span>` : null;
    render(
        html`<span>Secateur prunes TorchScript models.</span>${tenant}<a href="/docs/" target="_blank" rel="noopener">API reference</a>`,
        footer,
    );
}

async function signOut() {
    await remove('/v1/session').catch(() => {});
    setCurrent(null);
    go('/sign-in');
}

/** The page that asks for a key and leads back to this one. */
function signInAddress() {
    const from = location.pathname + location.search;
    if (location.pathname === '/sign-in') return from;
    return from === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(from)}`;
}

function askForKey() {
    if (location.pathname !== '/sign-in') go(signInAddress(), { replace: true });
}

async function open() {
    const session = await get('/v1/session').catch((problem) => {
        if (problem instanceof Problem && problem.status === 401) return null;
        throw problem;
    });
    setCurrent(session);
    if (session === null) history.replaceState(null, '', signInAddress());
    start(drawFrame);
}

onSessionOver(askForKey);
const opening = poll(
    async () => {
        await open();
        return null;
    },
    (problem) => {
        drawFrame(location.pathname);
        render(
            problemPanel(problem, 'It is asked again in a moment.'),
            /** @type {HTMLElement} */ (document.getElementById('main')),
        );
    },
);
// A server that came back says so at once.
addEventListener('online', () => opening.soon());
addEventListener('pageshow', (event) => event.persisted && show());
