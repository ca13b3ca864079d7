import type { Estimate, Reference } from "../audit";
import { digitsFor, formatIn, formatInterval, formatNumber, formatShare, type Maybe, type Unit } from "../drawing/format";
import { extent, known, nice, ticks, type Domain } from "../drawing/scale";

/**
 * Estimates with their intervals on one axis. The ranges of a warning and of a failure are shaded; marks above the axis show
 * the values of known networks.
 */
export function EstimatesView({ estimates }: { estimates: Estimate[] }) {
  const unit = estimates[0]!.unit;
  const domain = domainOf(estimates);
  return (
    <div className="estimates">
      {estimates.map((estimate, i) => (
        <EstimateRow key={i} estimate={estimate} domain={domain} />
      ))}
      <Axis domain={domain} unit={unit} />
      <Legend estimates={estimates} />
    </div>
  );
}

function domainOf(estimates: Estimate[]): Domain {
  const usual = estimates.flatMap((e) => e.references.map((reference) => reference.value));
  const numbers = known([...usual, ...estimates.flatMap((e) => [e.value, e.low, e.high, e.warn_at, e.fail_at])]);
  const [low, high] = extent([0, ...numbers, ...estimates.map(beyondThreshold).filter((value) => value !== null)]);
  const isShare = estimates[0]!.unit === "share" || estimates[0]!.unit === "probability";
  if (isShare && numbers.length === 0) return [0, 1];
  // A share gets the full axis from 0 to 1, unless all values would lie in its first 30%.
  if (isShare && low >= 0 && high <= 1 && high > 0.3) return [0, 1];
  return nice([low, high]);
}

/** A value slightly beyond the last threshold, so that the range after it is visible. */
function beyondThreshold({ warn_at, fail_at, higher_is_worse, unit }: Estimate): number | null {
  const threshold = fail_at ?? warn_at;
  if (threshold === null) return null;
  const beyond = threshold + Math.abs(threshold) * (higher_is_worse ? 0.15 : -0.15);
  return unit === "share" || unit === "probability" ? Math.min(1, beyond) : beyond;
}

const formatValue = ({ value, low, high, unit }: Estimate) => formatIn(unit, value, digitsFor(low, high));

const formatPrecision = ({ low, high, n, unit }: Estimate) =>
  `${formatInterval(unit, low, high)}, n\u00a0=\u00a0${formatNumber(n)}`;

function describe(estimate: Estimate): string {
  const { label, level } = estimate;
  return `${label}: ${formatValue(estimate)} (${formatPrecision(estimate)}); ${formatShare(level)} interval`;
}

function EstimateRow({ estimate, domain }: { estimate: Estimate; domain: Domain }) {
  const { value, low, high, warn_at, fail_at, higher_is_worse } = estimate;
  return (
    <div className="estimate">
      <p className="estimate-text">
        <span className="estimate-label">{estimate.label}</span>{" "}
        <span className="estimate-number">
          <strong>{formatValue(estimate)}</strong> ({formatPrecision(estimate)})
        </span>
      </p>
      <svg className="estimate-bar" height="30" width="100%" role="img" aria-label={describe(estimate)}>
        <Zones {...{ warn_at, fail_at, higher_is_worse, domain }} />
        <line className="axis-line" x1="0" x2="100%" y1="29.5" y2="29.5" />
        {estimate.references.map((reference, i) => (
          <Usual key={i} reference={reference} domain={domain} />
        ))}
        {low !== null && high !== null && (
          <>
            <line className="whisker" x1={percent(low, domain)} x2={percent(high, domain)} y1="15" y2="15" />
            <line className="whisker-end" x1={percent(low, domain)} x2={percent(low, domain)} y1="9" y2="21" />
            <line className="whisker-end" x1={percent(high, domain)} x2={percent(high, domain)} y1="9" y2="21" />
          </>
        )}
        {value !== null && <circle className="point" cx={percent(value, domain)} cy="15" r="5.5" />}
      </svg>
      {estimate.references.length > 0 && <Comparison references={estimate.references} unit={estimate.unit} />}
    </div>
  );
}

/** A mark at the value of a known network. */
function Usual({ reference: { value }, domain }: { reference: Reference; domain: Domain }) {
  if (value === null) return null;
  return <line className="usual" x1={percent(value, domain)} x2={percent(value, domain)} y1="22" y2="29" />;
}

/** The values of known networks in words, and where they are from, once for each source. */
function Comparison({ references, unit }: { references: readonly Reference[]; unit: Unit }) {
  const origin = ({ source, date }: Reference) => `${source}, ${date}`;
  const sources = [...new Set(references.map(origin))];
  return (
    <div className="comparison">
      <span className="legend-item">
        <UsualSign /> For comparison:
      </span>
      <ul>
        {sources.map((source) => (
          <li key={source}>
            {references
              .filter((reference) => origin(reference) === source)
              .map(({ name, value }) => `${name} ${formatIn(unit, value, isSmall(value) ? 1 : 0)}`)
              .join(", ")}{" "}
            <span className="source">({source})</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

const isSmall = (value: Maybe) => value !== null && value > 0 && value < 0.1;

function UsualSign() {
  return (
    <svg width="4" height="12" aria-hidden="true">
      <line className="usual" x1="2" x2="2" y1="2" y2="12" />
    </svg>
  );
}

type ZonesProps = Pick<Estimate, "warn_at" | "fail_at" | "higher_is_worse"> & { domain: Domain };

function Zones({ warn_at, fail_at, higher_is_worse, domain }: ZonesProps) {
  const end = higher_is_worse ? domain[1] : domain[0];
  return (
    <>
      {warn_at !== null && <Zone kind="warn" from={warn_at} to={fail_at ?? end} domain={domain} />}
      {fail_at !== null && <Zone kind="fail" from={fail_at} to={end} domain={domain} />}
    </>
  );
}

function Zone({ kind, from, to, domain }: { kind: "warn" | "fail"; from: number; to: number; domain: Domain }) {
  const left = Math.min(position(from, domain), position(to, domain));
  const right = Math.max(position(from, domain), position(to, domain));
  return (
    <>
      <rect className={`zone zone-${kind}`} x={`${left}%`} width={`${right - left}%`} y="0" height="29" />
      <line className={`threshold threshold-${kind}`} x1={percent(from, domain)} x2={percent(from, domain)} y1="0" y2="29" />
    </>
  );
}

function Axis({ domain, unit }: { domain: Domain; unit: Unit }) {
  return (
    <div className="estimate-axis" aria-hidden="true">
      {ticks(domain, 5).map((tick) => (
        <span key={tick} style={{ left: percent(tick, domain) }} className={alignment(position(tick, domain))}>
          {formatIn(unit, tick, domain[1] - domain[0] < 0.05 ? 1 : 0)}
        </span>
      ))}
    </div>
  );
}

function Legend({ estimates }: { estimates: Estimate[] }) {
  const warn = estimates.find((estimate) => estimate.warn_at !== null);
  const fail = estimates.find((estimate) => estimate.fail_at !== null);
  const levels = [...new Set(estimates.map((estimate) => formatShare(estimate.level)))].join(", ");
  const range = (estimate: Estimate, threshold: number) => {
    const same = estimates.every((e) => e.warn_at === estimate.warn_at && e.fail_at === estimate.fail_at);
    return same ? ` ${estimate.higher_is_worse ? "above" : "below"} ${formatIn(estimate.unit, threshold)}` : "";
  };
  return (
    <p className="estimate-legend">
      <span className="legend-item">
        <svg width="26" height="12" aria-hidden="true">
          <line className="whisker" x1="1" x2="25" y1="6" y2="6" />
          <circle className="point" cx="13" cy="6" r="4" />
        </svg>
        {levels} interval
      </span>
      {warn && (
        <span className="legend-item">
          <i className="swatch zone-warn" /> warning{range(warn, warn.warn_at!)}
        </span>
      )}
      {fail && (
        <span className="legend-item">
          <i className="swatch zone-fail" /> failure{range(fail, fail.fail_at!)}
        </span>
      )}
    </p>
  );
}

/** The position of a value on the axis, in percent of its width. */
function position(value: number, [low, high]: Domain): number {
  return Math.min(100, Math.max(0, (100 * (value - low)) / (high - low)));
}

const percent = (value: number, domain: Domain) => `${position(value, domain)}%`;
const alignment = (percentage: number) => (percentage < 3 ? "at-start" : percentage > 97 ? "at-end" : "");
