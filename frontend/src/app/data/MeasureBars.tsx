import type { FairnessMeasure } from "../../api";
import { formatInterval, formatNumber } from "../../drawing/format";
import { type Domain, extent, known } from "../../drawing/scale";

/** Measures of fairness with their intervals; each on its own axis, with the usual fair band shaded. */
export function MeasureBars({ title, measures }: { title: string; measures: readonly FairnessMeasure[] }) {
  return (
    <figure className="measures">
      <figcaption>{title}</figcaption>
      {measures.map((measure) => (
        <MeasureBar key={measure.name} measure={measure} label={measure.name} domain={domainOf([measure])} />
      ))}
    </figure>
  );
}

const LOG = "disparate impact"; // A ratio: half and double are equally far from 1.
const place = (measure: FairnessMeasure, value: number) => (measure.name === LOG ? Math.log2(Math.max(value, 1 / 16)) : value);

/** An axis that holds the measures with their intervals and bands. */
export function domainOf(measures: readonly FairnessMeasure[]): Domain {
  const shown = measures.flatMap((measure) =>
    known([measure.share.value, measure.share.low, measure.share.high, measure.ideal, ...(measure.band ?? [])]).map((v) => place(measure, v)),
  );
  const [low, high] = extent(shown);
  return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
}

interface Props {
  measure: FairnessMeasure;
  label: string;
  domain: Domain;
}

export function MeasureBar({ measure, label, domain }: Props) {
  const { share, ideal, band } = measure;
  const at = (value: number) => `${Math.min(100, Math.max(0, (100 * (place(measure, value) - domain[0])) / (domain[1] - domain[0])))}%`;
  const [low, high] = [share.low ?? -Infinity, share.high ?? Infinity];
  const text = share.value === null ? "not defined" : `${formatNumber(share.value)} (${wide(share.low, share.high)})`;
  return (
    <div className="measure">
      <p className="estimate-text">
        <span>{label}</span> <span className="estimate-number">{text}</span>
      </p>
      <svg className="measure-bar" width="100%" height="24" role="img" aria-label={`${label}: ${text}${judged(measure)}`}>
        {band && (
          <rect className="fair-band" x={at(band[0]!)} width={`${Number.parseFloat(at(band[1]!)) - Number.parseFloat(at(band[0]!))}%`} y="0" height="23" />
        )}
        <line className="axis-line" x1="0" x2="100%" y1="23.5" y2="23.5" />
        <line className="fair-ideal" x1={at(ideal ?? 0)} x2={at(ideal ?? 0)} y1="0" y2="23" />
        <line className="whisker" x1={at(low)} x2={at(high)} y1="12" y2="12" />
        {share.value !== null && <circle className="point" cx={at(share.value)} cy="12" r="5" />}
      </svg>
    </div>
  );
}

function wide(low: number | null, high: number | null): string {
  return high === null ? `${formatNumber(low)} or more` : formatInterval("number", low, high);
}

function judged({ share: { value, low, high }, band }: FairnessMeasure): string {
  if (!band || value === null) return "";
  const [from, to] = [band[0]!, band[1]!];
  if (low !== null && high !== null && low >= from && high <= to) return "; within the fair band";
  return (low !== null && low > to) || (high !== null && high < from) ? "; outside of the fair band" : "; the interval reaches over an end of the fair band";
}
