// A table of figures: a row for each, a column for each thing that is compared.

/** What a row is of, and its value in each column. */
export type Figure = readonly [name: string, values: readonly string[]];

export function Figures({ label, caption, heads, rows }: { label: string; caption: string; heads: readonly string[]; rows: readonly Figure[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="means">
        <caption>{caption}</caption>
        <thead>
          <tr>
            <td />
            {heads.map((head) => (
              <th key={head} scope="col" class="number">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, values]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {values.map((value, column) => (
                <td key={heads[column]} class="number">
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
