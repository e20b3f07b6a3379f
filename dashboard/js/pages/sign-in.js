// A key is shown once; from then on a cookie that scripts cannot read says who is there.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { post } from '../server/api.js';
import { setCurrent } from '../server/session.js';
import { go } from '../router.js';
import { wordsOf } from '../view/panel.js';

/** @type {import('../router.js').PageOf} */
export const signInPage = {
    title: 'Sign in',
    open(host, _, query) {
        let problem = '';
        let isBusy = false;

        /** @param {SubmitEvent} event */
        async function signIn(event) {
            event.preventDefault();
            const field = /** @type {HTMLInputElement} */ (host.querySelector('#key'));
            isBusy = true;
            draw();
            try {
                setCurrent(await post('/v1/session', { key: field.value.trim() }));
                field.value = '';
                const to = query.get('to') ?? '/';
                // Only into this site.
                go(to.startsWith('/') && !to.startsWith('//') ? to : '/', { replace: true });
                return;
            } catch (error) {
                const { detail } = wordsOf(error);
                problem = detail;
            }
            isBusy = false;
            draw();
            field.focus();
        }

        function draw() {
            render(
                html`<div class="narrow">
                    <h1>Sign in</h1>
                    <form class="panel form" @submit=${signIn} novalidate>
                        <div class="field">
                            <label for="key">Key</label>
                            <input
                                id="key"
                                type="password"
                                autocomplete="current-password"
                                spellcheck="false"
                                required
                                aria-invalid=${problem ? 'true' : 'false'}
                                aria-describedby="key-help key-problem"
                            />
                            <p class="help" id="key-help">A key that <code>secateur key create</code> or an administrator made. It begins with <code>sec_</code>.</p>
                            <p class="field-problem" id="key-problem" role="alert">${problem}</p>
                        </div>
                        <div class="actions"><button class="primary" ?disabled=${isBusy}>${isBusy ? 'Signing in …' : 'Sign in'}</button></div>
                    </form>
                </div>`,
                host,
            );
        }

        draw();
        /** @type {HTMLInputElement | null} */ (host.querySelector('#key'))?.focus();
        return () => {};
    },
};
