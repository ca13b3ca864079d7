import type { Finding } from "../audit";
import { digitsFor, formatDuration, formatIn } from "../drawing/format";
import { EvidenceList } from "../evidence/EvidenceList";
import { usePrinting } from "../hooks";

/** What `deeptroubles tour` writes (src/deeptroubles/tour/stop.py). */
interface Tour {
  chapters: { title: string; stops: Stop[] }[];
  quick: boolean;
  seed: number;
  version: string;
}

interface Stop {
  name: string;
  title: string;
  question: string;
  status: "shown" | "failed" | "ahead";
  seconds: number;
  shown: Shown | null;
  problem: string;
}

interface Shown {
  see: string[];
  numbers: Measured[];
  pictures: Finding["evidence"];
  commands: string[];
  tries: string[];
}

interface Measured {
  label: string;
  value: number | null;
  low: number | null;
  high: number | null;
  unit: "share" | "number";
  as_expected: boolean;
}

/** Read the tour that Python wrote into the page; null where it is a report. */
export function readTour(): Tour | null {
  const inlined = document.getElementById("tour")?.textContent;
  return inlined ? (JSON.parse(inlined) as Tour) : null;
}

/** Every idea of the lecture: the question, what to see, checked numbers, and what to try next. */
export function TourPage({ tour }: { tour: Tour }) {
  const printing = usePrinting();
  const stops = tour.chapters.flatMap((chapter) => chapter.stops);
  const shown = stops.filter((stop) => stop.status === "shown");
  const numbers = shown.flatMap((stop) => stop.shown?.numbers ?? []);
  return (
    <>
      <a className="skip" href="#stops">
        Skip to the first stop
      </a>
      <header className="masthead">
        <p className="wordmark">deeptroubles tour</p>
        <h1>What can be wrong with an image classifier</h1>
        <div className="summary">
          <p>Every picture below was made on this machine, from images that come inside installed packages or are drawn.</p>
          <p>
            {shown.length} of {stops.length} stops{tour.quick && ", in the quick version"}. {numbers.filter((n) => n.as_expected).length} of{" "}
            {numbers.length} checked numbers are as expected. Seed {tour.seed}, version {tour.version}.
          </p>
        </div>
        <nav aria-label="Stops" className="tour-contents">
          {tour.chapters.map((chapter) => (
            <section key={chapter.title}>
              <h2>{chapter.title}</h2>
              <ol>
                {chapter.stops.map((stop) => (
                  <li key={stop.name}>
                    <a href={`#${stop.name}`}>{stop.title}</a>
                    {stop.status !== "shown" && <span className="quiet"> ({stop.status === "failed" ? "failed" : "not visited"})</span>}
                  </li>
                ))}
              </ol>
            </section>
          ))}
        </nav>
      </header>
      <main id="stops" tabIndex={-1}>
        {tour.chapters.map((chapter) => (
          <section key={chapter.title} className="tour-chapter" aria-label={chapter.title}>
            <h2>{chapter.title}</h2>
            {chapter.stops.map((stop) => (
              <StopCard key={stop.name} stop={stop} printing={printing} />
            ))}
          </section>
        ))}
      </main>
    </>
  );
}

function StopCard({ stop, printing }: { stop: Stop; printing: boolean }) {
  const { name, title, question, shown } = stop;
  return (
    <article id={name} className="stop" aria-labelledby={`${name}--title`} tabIndex={-1}>
      <h3 id={`${name}--title`}>{title}</h3>
      <p className="stop-question">{question}</p>
      {shown && <ShownStop shown={shown} printing={printing} />}
      {stop.status === "failed" && <p className="notice">This stop failed, and the tour continued: {stop.problem}</p>}
      {stop.status === "ahead" && <p className="quiet">Not visited yet. Run the command below.</p>}
      <p className="duration">
        <code>deeptroubles tour --only {name}</code>
        {stop.status !== "ahead" && `, ${formatDuration(stop.seconds)}`}
      </p>
    </article>
  );
}

/** An option of a command, which no line break should cut after its hyphens. */
const OPTION = /(--[\w-]+)/;

function ShownStop({ shown, printing }: { shown: Shown; printing: boolean }) {
  return (
    <div className="finding-body stop-body">
      <div className="stop-see">
        {shown.see.map((text, i) => (
          <p key={i}>{text}</p>
        ))}
      </div>
      <EvidenceList finding={{ evidence: shown.pictures, caveats: [] }} printing={printing} />
      <Numbers numbers={shown.numbers} />
      <h4>Run it yourself</h4>
      <pre tabIndex={0}>
        <code>
          {shown.commands
            .join("\n")
            .split(OPTION)
            .map((part, i) => (i % 2 ? <span key={i} className="option">{part}</span> : part))}
        </code>
      </pre>
      <h4>Try next</h4>
      <ul className="stop-tries">
        {shown.tries.map((text, i) => (
          <li key={i}>{text}</li>
        ))}
      </ul>
    </div>
  );
}

function Numbers({ numbers }: { numbers: readonly Measured[] }) {
  return (
    <table className="stop-numbers">
      <caption>Checked numbers</caption>
      <thead>
        <tr>
          <th scope="col">Number</th>
          <th scope="col">Measured</th>
          <th scope="col">Expected</th>
          <th scope="col">Result</th>
        </tr>
      </thead>
      <tbody>
        {numbers.map((number) => (
          <tr key={number.label}>
            <th scope="row">{number.label}</th>
            <td>{written(number.value, number.unit)}</td>
            <td>{expectation(number)}</td>
            <td className={number.as_expected ? "verdict-pass" : "verdict-warn"}>
              <span className="badge">
                <span aria-hidden="true">{number.as_expected ? "✔" : "✖"}</span> {number.as_expected ? "as expected" : "not as expected"}
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const written = (value: number | null, unit: Measured["unit"]) => formatIn(unit, value, digitsFor(value));

/** The expected range. */
function expectation({ low, high, unit }: Measured): string {
  if (low === null) return `at most ${written(high, unit)}`;
  if (high === null) return `at least ${written(low, unit)}`;
  return low === high ? written(low, unit) : `${written(low, unit)} to ${written(high, unit)}`;
}
