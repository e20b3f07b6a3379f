// A layered drawing of a graph without circles, after Sugiyama: every node stands right of all that lead to it, long edges pass through
// places of their own, and neighbouring columns are ordered by the means of what they are connected with, so that few edges cross.

/**
 * @typedef {{ x: number, y: number }} Place
 * @typedef {{ from: number, to: number, way: Place[] }} Edge
 * @typedef {{ places: Place[], edges: Edge[], width: number, height: number }} Layout
 */

const COLUMN = 190;
const ROW = 62;
const LANE = 26;
const SWEEPS = 6;
/** Beyond so many the long edges are drawn straight, so that a dense network is drawn in no time too. */
const MOST_PASSAGES = 6000;

/**
 * @param {number} count Nodes.
 * @param {[number, number][]} edges
 * @returns {Layout}
 */
export function layOut(count, edges) {
    const ranks = ranksOf(count, edges);
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
            const room = place === 0 ? 0 : isPassage(node) && isPassage(column[place - 1]) ? LANE : ROW;
            lowest = Math.max(wanted[place], lowest + room);
            return lowest;
        });
        // Pushed down as a whole they would drift; where there are nodes, passages make room for them.
        const shifts = placed.map((y, place) => y - wanted[place]);
        const ofNodes = shifts.filter((_, place) => !isPassage(column[place]));
        const drift = mean(ofNodes.length > 0 ? ofNodes : shifts);
        column.forEach((node, place) => (ys[node] = placed[place] - drift));
    };
    columns.forEach((column) => column.forEach((node, place) => (ys[node] = place * ROW)));
    for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
        const isForward = sweep % 2 === 0;
        const order = isForward ? columns : [...columns].reverse();
        for (const column of order) {
            for (const node of column) {
                const others = isForward ? before[node] : after[node];
                // The spine of nodes stays straight, and what passes it by goes around.
                const spine = isPassage(node) ? others : others.filter((other) => !isPassage(other));
                const lead = spine.length > 0 ? spine : others;
                if (lead.length > 0) ys[node] = mean(lead.map((other) => ys[other]));
            }
            column.sort((a, b) => ys[a] - ys[b] || Number(isPassage(a)) - Number(isPassage(b)) || a - b);
            stand(column);
        }
    }
    const top = Math.min(...ys);
    const place = (/** @type {number} */ node) => ({ x: rankOf[node] * COLUMN, y: ys[node] - top });
    return {
        places: Array.from({ length: count }, (_, node) => place(node)),
        edges: chains.map((chain, edge) => ({ from: edges[edge][0], to: edges[edge][1], way: chain.map(place) })),
        width: columns.length * COLUMN,
        height: Math.max(...ys) - top + ROW,
    };
}

/**
 * The longest way to each node.
 *
 * @param {number} count
 * @param {[number, number][]} edges
 */
function ranksOf(count, edges) {
    const ranks = new Array(count).fill(0);
    const waiting = new Array(count).fill(0);
    /** @type {number[][]} */
    const after = Array.from({ length: count }, () => []);
    for (const [from, to] of edges) {
        after[from].push(to);
        waiting[to] += 1;
    }
    const ready = waiting.flatMap((others, node) => (others === 0 ? [node] : []));
    for (const node of ready) {
        for (const next of after[node]) {
            ranks[next] = Math.max(ranks[next], ranks[node] + 1);
            waiting[next] -= 1;
            if (waiting[next] === 0) ready.push(next);
        }
    }
    return ranks;
}

/** @param {number[]} numbers */
function mean(numbers) {
    return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
