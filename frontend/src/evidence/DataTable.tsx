import { Disclosure } from "../Disclosure";
import { formatNumber, type Maybe } from "../drawing/format";

interface Props {
  columns: string[];
  rows: (string | Maybe)[][];
  printing: boolean;
}

/** The numbers behind a figure, for screen readers and for readers who want exact values. */
export function DataTable({ columns, rows, printing }: Props) {
  return (
    <Disclosure summary="Data table" forceOpen={printing}>
      <div className="scroll" role="region" aria-label="Data table" tabIndex={0}>
        <table className="data">
          <thead>
            <tr>
              {columns.map((column, i) => (
                <th key={i} scope="col" className={i === 0 ? "" : "cell-number-value"}>
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <tr key={i}>
                {row.map((cell, j) => {
                  const text = typeof cell === "string" ? cell : formatNumber(cell);
                  return j === 0 ? (
                    <th key={j} scope="row">
                      {text}
                    </th>
                  ) : (
                    <td key={j} className="cell-number-value">
                      {text}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Disclosure>
  );
}
