// A question before something that cannot be undone.

import { html, render } from '../../vendor/lit-html/lit-html.js';

/**
 * @param {{ title: string, text: unknown, yes: string, no?: string }} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes, no = 'Keep it' }) {
    return new Promise((resolve) => {
        const dialog = document.createElement('dialog');
        dialog.setAttribute('aria-labelledby', 'dialog-title');
        dialog.addEventListener('close', () => {
            dialog.remove();
            resolve(dialog.returnValue === 'yes');
        });
        render(
            html`<h2 id="dialog-title">${title}</h2>
                <p>${text}</p>
                <div class="actions">
                    <button @click=${() => dialog.close('no')}>${no}</button>
                    <button class="danger" @click=${() => dialog.close('yes')}>${yes}</button>
                </div>`,
            dialog,
        );
        document.body.append(dialog);
        dialog.showModal();
    });
}
