// What a button does at the server, and what is said when the server refuses.

import { announce } from '../router.js';
import { ask } from './dialog.js';
import { wordsOf } from './panel.js';

/**
 * A listener that disables its button meanwhile.
 *
 * @param {() => Promise<void>} action
 */
export function trying(action) {
    return async (/** @type {Event} */ event) => {
        const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
        button.disabled = true;
        try {
            await action();
        } catch (error) {
            const { detail } = wordsOf(error);
            announce(detail);
            await ask({ title: 'That did not work', text: detail, yes: 'I see', no: 'Close' });
        }
        button.disabled = false;
    };
}
