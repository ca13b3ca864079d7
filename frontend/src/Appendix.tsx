import type { ReactNode } from "react";
import type { Audit } from "./audit";
import { VERDICT_MEANINGS, VERDICTS } from "./data";
import { Disclosure } from "./Disclosure";
import { formatCount } from "./drawing/format";
import { CurveView } from "./evidence/CurveView";
import { TableView } from "./evidence/TableView";
import { Facts } from "./Facts";
import { VerdictBadge } from "./VerdictBadge";

/** What a reader needs to interpret and reproduce the audit. */
export function Appendix({ audit, printing }: { audit: Audit; printing: boolean }) {
  const { images, model } = audit;
  const unmatched = Object.entries(images.unmatched_labels);
  return (
    <section className="appendix" aria-labelledby="appendix-title">
      <h2 id="appendix-title">About this audit</h2>
      <Part title="What the verdicts mean">
        <dl className="verdict-meanings">
          {VERDICTS.map((verdict) => (
            <div key={verdict}>
              <dt>
                <VerdictBadge verdict={verdict} />
              </dt>
              <dd>{VERDICT_MEANINGS[verdict]}</dd>
            </div>
          ))}
        </dl>
      </Part>
      {model.learning_curves.length > 0 && (
        <Part title="How the model learned">
          {model.learning_curves.map((curve) => (
            <CurveView key={curve.title} curve={curve} printing={printing} />
          ))}
        </Part>
      )}
      {images.notes.length > 0 && (
        <Part title="Notes about the images">
          <Lines lines={images.notes} />
        </Part>
      )}
      {images.unreadable.length > 0 && (
        <Part title={formatCount(images.unreadable.length, "unreadable file")}>
          <p>These files were excluded from all checks.</p>
          <TableView
            printing={printing}
            table={{
              kind: "table",
              title: "Unreadable files",
              columns: [{ name: "File", kind: "text" }, { name: "Reason", kind: "text" }],
              rows: images.unreadable.map(({ path, reason }) => [path, reason]),
            }}
          />
        </Part>
      )}
      {unmatched.length > 0 && (
        <Part title="Labels without a matching class">
          <TableView
            printing={printing}
            table={{
              kind: "table",
              title: "Unmatched labels",
              columns: [{ name: "Label", kind: "text" }, { name: "Images", kind: "number" }],
              rows: unmatched,
            }}
          />
        </Part>
      )}
      {images.credits.length > 0 && (
        <Part title="Image credits">
          <Disclosure summary={formatCount(images.credits.length, "credit")} forceOpen={printing}>
            <Lines lines={images.credits} />
          </Disclosure>
        </Part>
      )}
      <Part title="How to reproduce this audit">
        <pre tabIndex={0} role="region" aria-label="Command">
          <code>{audit.command}</code>
        </pre>
        <Facts
          facts={Object.entries({
            Seed: String(audit.seed),
            Model: model.source,
            "Model fingerprint": model.fingerprint,
            Preprocessing: model.preprocessing,
            Images: images.name,
            "Image fingerprint": images.fingerprint,
            Environment: Object.entries(audit.environment)
              .map(([name, value]) => `${name} ${value}`)
              .join(", "),
          }).filter(([, value]) => value !== "")}
        />
      </Part>
    </section>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="part">
      <h3>{title}</h3>
      <div className="part-body">{children}</div>
    </section>
  );
}

function Lines({ lines }: { lines: readonly string[] }) {
  return (
    <ul>
      {lines.map((line, i) => (
        <li key={i}>{line}</li>
      ))}
    </ul>
  );
}
