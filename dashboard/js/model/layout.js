// A layered drawing of a graph without circles, after Sugiyama: every node stands right of all that lead to it, long edges pass through
// places of their own, and neighbouring columns are ordered by the means of what they are connected with, so that few edges cross.

/**
 * @typedef {{ x: number, y: number }} Place
 * @typedef {{ places: Place[], edges: Place[][], width: number, height: number }} Layout
 */

const COLUMN = 190;
const ROW = 62;
const LANE = 26;
const SWEEPS = 6;
/** Beyond so many the long edges are drawn straight, so that a dense network is drawn in no time too. */
const MOST_PASSAGES = 6000;

/**
 * @param {number} count Nodes, in an order in which edges go forward.
 * @param {[number, number][]} edges
 * @returns {Layout}
 */
export function layOut(count, edges) {
    const ranks = new Array(count).fill(0);
    for (const [from, to] of [...edges].sort((a, b) => a[1] - b[1] || a[0] - b[0])) ranks[to] = Math.max(ranks[to], ranks[from] + 1);
    const passages = edges.reduce((sum, [from, to]) => sum + ranks[to] - ranks[from] - 1, 0);
    const splits = passages <= MOST_PASSAGES;

    // Passages of long edges are nodes too, from `count` on.
    const rankOf = [...ranks];
    /** @type {number[][]} */
    const chains = edges.map(([from, to]) => {
        const chain = [from];
        for (let rank = ranks[from] + 1; splits && rank < ranks[to]; rank += 1) {
            chain.push(rankOf.length);
            rankOf.push(rank);
        }
        chain.push(to);
        return chain;
    });
    /** @type {number[][]} */
    const columns = [];
    rankOf.forEach((rank, node) => (columns[rank] ??= []).push(node));
    /** @type {number[][]} */
    const before = rankOf.map(() => []);
    /** @type {number[][]} */
    const after = rankOf.map(() => []);
    for (const chain of chains) {
        for (let step = 1; step < chain.length; step += 1) {
            after[chain[step - 1]].push(chain[step]);
            before[chain[step]].push(chain[step - 1]);
        }
    }
    const isPassage = (/** @type {number} */ node) => node >= count;
    const ys = new Array(rankOf.length).fill(0);
    /** Stands a column's nodes below each other, as near to where they want to be as their order lets them. @param {number[]} column */
    const stand = (column) => {
        let lowest = -Infinity;
        const wanted = column.map((node) => ys[node]);
        const placed = column.map((node, place) => {
            const room = place === 0 ? 0 : (isPassage(node) && isPassage(column[place - 1]) ? LANE : ROW);
            lowest = Math.max(wanted[place], lowest + room);
            return lowest;
        });
        // Pushed down as a whole they would drift.
        const drift = placed.reduce((sum, y, place) => sum + y - wanted[place], 0) / column.length;
        column.forEach((node, place) => (ys[node] = placed[place] - drift));
    };
    columns.forEach((column) => column.forEach((node, place) => (ys[node] = place * ROW)));
    for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
        const isForward = sweep % 2 === 0;
        const order = isForward ? columns : [...columns].reverse();
        for (const column of order) {
            for (const node of column) {
                const others = isForward ? before[node] : after[node];
                if (others.length > 0) ys[node] = others.reduce((sum, other) => sum + ys[other], 0) / others.length;
            }
            // The spine of layers stays straight, and what passes it by goes around.
            column.sort((a, b) => ys[a] - ys[b] || Number(isPassage(a)) - Number(isPassage(b)) || a - b);
            stand(column);
        }
    }
    const top = Math.min(...ys);
    const place = (/** @type {number} */ node) => ({ x: rankOf[node] * COLUMN, y: ys[node] - top });
    return {
        places: Array.from({ length: count }, (_, node) => place(node)),
        edges: chains.map((chain) => chain.map(place)),
        width: columns.length * COLUMN,
        height: Math.max(...ys) - top + ROW,
    };
}
