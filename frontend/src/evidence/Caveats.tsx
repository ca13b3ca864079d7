/** What a reader of a finding must bear in mind. */
export function Caveats({ caveats }: { caveats: readonly string[] }) {
  return (
    <div className="caveats">
      <h4>Limitations of this finding</h4>
      <ul>
        {caveats.map((caveat, i) => (
          <li key={i}>{caveat}</li>
        ))}
      </ul>
    </div>
  );
}
