// What a page says when there is nothing, something went wrong or something is still coming.

import { html } from '../../vendor/lit-html/lit-html.js';
import { Problem } from '../server/api.js';
import { prose } from '../text.js';

/** @import { Drawn } from '../types.js' */

/**
 * @param {unknown} problem
 * @param {string} [more] What happens next.
 * @returns {Drawn}
 */
export function problemPanel(problem, more) {
    const { title, detail, hint } = wordsOf(problem);
    return html`<div class="panel problem" role="alert">
        <h2>${title}</h2>
        <p>${prose(detail)}</p>
        ${hint ? html`<p class="hint">${prose(hint)}</p>` : null} ${more ? html`<p class="hint">${more}</p>` : null}
    </div>`;
}

/** @param {unknown} problem */
export function wordsOf(problem) {
    if (problem instanceof Problem) return problem.document;
    console.error(problem);
    return { title: 'Something went wrong', detail: String(problem), hint: 'Load the page again.', node: null };
}

/**
 * @param {string} title
 * @param {Drawn} text
 * @param {Drawn} [action]
 */
export function emptyPanel(title, text, action) {
    return html`<div class="panel empty"><h2>${title}</h2><p>${text}</p>${action ?? null}</div>`;
}

/** @param {string} what */
export function loading(what) {
    return html`<p class="loading" role="status">Loading ${what} …</p>`;
}

/**
 * @param {string} title
 * @param {string[]} texts
 */
export function warnings(title, texts) {
    return html`<section class="panel warnings">
        <h2>${title}</h2>
        <ul>${texts.map((text) => html`<li>${prose(text)}</li>`)}</ul>
    </section>`;
}
