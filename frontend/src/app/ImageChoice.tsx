import { useAbout } from "./about";
import { fileUrl } from "./ask";

/** One image of the run. */
export function ImageChoice({ row, onChange }: { row: number; onChange: (row: number) => void }) {
  const { count, size } = useAbout();
  const small = (size?.[0] ?? 224) < 96;
  const to = (next: number) => onChange(Math.min(count - 1, Math.max(0, Math.round(next) || 0)));
  return (
    <div className="image-choice">
      <img
        src={fileUrl(`/images/${row}/picture`)}
        alt={`Image ${row}`}
        className={small ? "lab-picture pixelated" : "lab-picture"}
      />
      <label>
        Image, 0 to {count - 1}
        <input type="number" min={0} max={count - 1} value={row} onChange={(event) => to(Number(event.target.value))} />
      </label>
    </div>
  );
}
