// An id or a key that can be copied.

import { html } from '../../vendor/lit-html/lit-html.js';
import { announce } from '../router.js';

/**
 * @param {string} text
 * @param {string} what
 */
export function copyable(text, what) {
    /** @param {Event} event */
    const copy = async (event) => {
        const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
        try {
            await navigator.clipboard.writeText(text);
            button.textContent = 'copied';
            announce(`${what} copied`);
        } catch {
            button.textContent = 'select it and copy';
        }
        setTimeout(() => (button.textContent = 'copy'), 2000);
    };
    return html`<span class="copyable"><code>${text}</code><button class="mini" aria-label="copy ${what}" @click=${copy}>copy</button></span>`;
}
