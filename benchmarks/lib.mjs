// What the comparisons share.

/** The orientations of a product, by the kernel that makes it. @type {Record<string, string>} */
const kinds = { linear_forward: "forward", linear_backward_input: "input", linear_backward_weight: "weight" };

/**
 * The value behind `--name`, or another one.
 *
 * @param {string} name
 * @param {string} otherwise
 */
export function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : (process.argv[at + 1] ?? otherwise);
}

/** @param {readonly number[]} x */
export function median(x) {
  return [...x].sort((a, b) => a - b)[Math.floor(x.length / 2)] ?? NaN;
}

/** @param {number} flops */
export function giga(flops) {
  return (flops / 1e9).toFixed(1);
}

/**
 * The matrix product that a kernel is, if it is one: the result is (m, n), the contraction k long.
 *
 * @param {string} name
 * @param {string} shape m × n × k
 */
export function productOf(name, shape) {
  const kind = kinds[name.split(/[ .]/)[0] ?? ""];
  const [m, n, k] = shape.split(/\D+/).map(Number);
  return kind && m && n && k ? { key: `${kind} ${m} × ${n} × ${k}`, kind, m, n, k } : null;
}

/**
 * Figures of several programs for each of several products, in the order in which they came.
 *
 * @template {string} Who
 */
export class Figures {
  /** @type {Map<string, { product: NonNullable<ReturnType<typeof productOf>>, flops: Map<Who, number[]> }>} */
  products = new Map();

  /**
   * @param {NonNullable<ReturnType<typeof productOf>>} product
   * @param {Who} who
   * @param {number} flops floating-point operations a second
   */
  add(product, who, flops) {
    const known = this.products.get(product.key) ?? { product, flops: new Map() };
    this.products.set(product.key, known);
    known.flops.set(who, [...(known.flops.get(who) ?? []), flops]);
  }

  /**
   * A row for each product: the median of each in GFLOP/s, and the first one's ratio to each of the others.
   *
   * @param {readonly Who[]} who
   */
  rows(who) {
    return [...this.products].map(([key, { flops }]) => {
      const medians = who.map((one) => median(flops.get(one) ?? []));
      const ratios = medians.slice(1).map((other) => `${((medians[0] ?? NaN) / other).toFixed(1)} ×`);
      return `| ${[key, ...medians.map(giga), ...ratios].join(" | ")} |`;
    });
  }
}
