import type { Made, SampleFacts, Sheet, UnitView } from "../../api";
import { formatNumber } from "../../drawing/format";
import { useAbout } from "../about";
import { ANALYZE, Compute } from "./Compute";
import { isObjective, lensOf, OBJECTIVES, type Objective, type Settings } from "./places";
import { Tile } from "./Tile";
import { Choice } from "./ViewSettings";

interface Props {
  layer: string;
  view: UnitView;
  textPossible: boolean;
  settings: Settings;
  set: (name: string, value: string) => void;
  /** The chosen image, and a way to choose another. */
  row: number;
  onRow: (row: number) => void;
  again: () => void;
}

/** What one technique shows of a unit. */
export function LensView(props: Props) {
  const lens = lensOf(props.settings.technique);
  if (lens === "channel") return <Features {...props} />;
  if (lens === "dataset") return <Dataset {...props} />;
  if (lens === "text") return <Texts {...props} />;
  return <FromImage {...props} technique={lens} />;
}

function Features({ layer, view, settings, set, again }: Props) {
  const objective: Objective = isObjective(settings.technique) ? settings.technique : "channel";
  const made = view.made.filter((each) => each.technique === objective);
  return (
    <>
      <Choice label="Objective" value={objective} choices={Object.entries(OBJECTIVES)} onChange={(value) => set("technique", value)} />
      <p className="quiet">{WHAT[objective]}</p>
      {made.length > 0 ? (
        <ul className="pictures">
          {made.map((each) => (
            <li key={`${each.sheet.key} ${each.picture}`}>
              <Tile sheet={each.sheet} number={each.picture} view={settings} label={`${OBJECTIVES[objective]} picture of unit ${view.unit}`} />
              <span className="quiet">{reached(each)}</span>
            </li>
          ))}
        </ul>
      ) : (
        <Compute
          key={`${layer} ${view.unit} ${objective}`}
          text="Draw it"
          wanted={{ layer, technique: objective, units: [view.unit] }}
          cost={(costs) => (objective === "diversity" ? costs.diversity : costs.picture)}
          onDone={again}
        />
      )}
    </>
  );
}

const WHAT: Record<Objective, string> = {
  channel: "Pictures made from noise that excite the unit most, on average over all positions. Two random starts.",
  neuron: "Pictures made from noise that excite the unit most at the position in the center. Two random starts.",
  negative: "Pictures made from noise to which the unit responds least. Two random starts.",
  diversity: "Four pictures that excite the unit most and differ from each other: does it respond to several things?",
};

/** How the unit responds to a picture that was made. */
function reached(made: Made): string {
  const times = made.fraction === null ? "" : `, ${formatNumber(made.fraction)} x its strongest image`;
  const end = made.dead ? "; the gradient ascent failed" : made.converged ? "" : "; not converged";
  return `activation ${formatNumber(made.activation)}${times}${end}`;
}

function Dataset({ layer, view, settings, onRow, again }: Props) {
  if (!view.samples) {
    return <Compute text={ANALYZE} wanted={{ layer, technique: "dataset" }} cost={(costs) => costs.dataset} onDone={again} />;
  }
  return (
    <>
      <Samples title="Strongest images" samples={view.top} sheet={view.samples} settings={settings} onRow={onRow} />
      <Samples title="In the middle" samples={view.middle} sheet={view.samples} settings={settings} onRow={onRow} />
      <Samples title="Weakest images" samples={view.weak} sheet={view.samples} settings={settings} onRow={onRow} />
      <p className="quiet">Each picture is the part of the image in the unit's receptive field at its strongest position.</p>
    </>
  );
}

interface SamplesProps {
  title: string;
  samples: readonly SampleFacts[];
  sheet: Sheet;
  settings: Settings;
  onRow: (row: number) => void;
}

function Samples({ title, samples, sheet, settings, onRow }: SamplesProps) {
  return (
    <>
      <h2>{title}</h2>
      <ul className="pictures">
        {samples.map((sample) => {
          const name = sample.label || sample.image;
          const tile = <Tile sheet={sheet} number={sample.picture} view={settings} label={`${name}, activation ${formatNumber(sample.value)}`} />;
          return (
            <li key={sample.picture} style={{ width: settings.size }}>
              {sample.row === null ? (
                tile
              ) : (
                <button type="button" className="sample" title={sample.image} onClick={() => onRow(sample.row!)}>
                  {tile}
                </button>
              )}
              <span className="quiet">
                {formatNumber(sample.value)} <span className="sample-label">{name}</span>
              </span>
            </li>
          );
        })}
      </ul>
    </>
  );
}

function FromImage({ layer, view, settings, row, onRow, again, technique }: Props & { technique: "dream" | "caricature" }) {
  const made = view.made.filter((each) => each.technique === technique);
  const isThere = made.some((each) => each.row === row);
  return (
    <>
      <p className="quiet">
        {technique === "dream"
          ? "An image, changed step by step so that it excites this unit more."
          : "A picture made from noise that excites the whole layer as an image does, but more: what the layer represents of the image."}
      </p>
      <ul className="pictures">
        {made.map((each) => (
          <li key={each.sheet.key}>
            <Tile
              sheet={each.sheet}
              number={each.picture}
              view={{ ...settings, size: Math.max(192, settings.size) }}
              label={`${technique === "dream" ? "Dream from" : "Caricature of"} ${each.image}`}
            />
            <span className="quiet">{each.image}</span>
          </li>
        ))}
      </ul>
      <ImageChoice row={row} onRow={onRow} />
      {isThere ? (
        <p className="quiet">The picture for this image is above. Choose another image to make one more.</p>
      ) : (
        <Compute
          key={`${layer} ${view.unit} ${technique} ${row}`}
          text={technique === "dream" ? "Dream from this image" : "Caricature this image"}
          wanted={{ layer, technique, row, units: technique === "dream" ? [view.unit] : [] }}
          cost={(costs) => costs[technique]}
          onDone={again}
        />
      )}
    </>
  );
}

/** A choice of an image by its number. */
export function ImageChoice({ row, onRow }: { row: number; onRow: (row: number) => void }) {
  const { count } = useAbout();
  return (
    <label className="field">
      <span>Image (0 to {count - 1})</span>
      <input
        type="number"
        min={0}
        max={count - 1}
        value={row}
        onChange={(event) => onRow(Math.min(count - 1, Math.max(0, Math.floor(Number(event.target.value) || 0))))}
      />
    </label>
  );
}

function Texts({ layer, view, textPossible, again }: Props) {
  return (
    <>
      {textPossible &&
        (view.texts.length > 0 ? (
          <>
            <h2>Texts that excite it most</h2>
            <table>
              <thead>
                <tr>
                  <th scope="col">Text</th>
                  <th scope="col">Cosine</th>
                </tr>
              </thead>
              <tbody>
                {view.texts.map(([text, score]) => (
                  <tr key={text}>
                    <td>{text}</td>
                    <td>{score?.toFixed(3)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        ) : (
          <Compute
            key={`${layer} ${view.unit} text`}
            text="Search texts"
            wanted={{ layer, technique: "text", units: [view.unit] }}
            cost={(costs) => costs.text}
            onDone={again}
          />
        ))}
      <h2>Words of your columns that it detects</h2>
      {view.words.length === 0 ? (
        <p className="quiet">
          {view.samples ? "It detects no class and no value of a column on these images." : "Analyze the images first (Dataset samples)."}
        </p>
      ) : (
        <ul className="words">
          {view.words.map((word) => (
            <li key={`${word.column} ${word.word}`}>
              <strong>{word.word}</strong> <span className="quiet">({word.column})</span>
            </li>
          ))}
        </ul>
      )}
      {!textPossible && <p className="quiet">Free texts need a model with a text tower (clip:NAME).</p>}
    </>
  );
}
