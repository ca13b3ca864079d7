import { ABOUT_TOOLS, type Tool, TOOLS } from "./tools";

interface Props {
  tool: Tool;
  color: string;
  size: number;
  most: number;
  canUndo: boolean;
  canRedo: boolean;
  onTool: (tool: Tool) => void;
  onColor: (color: string) => void;
  onSize: (size: number) => void;
  onUndo: () => void;
  onRedo: () => void;
  onReset: () => void;
}

/** The tools of the canvas; undo, redo and reset. */
export function ToolBar({ tool, color, size, most, canUndo, canRedo, onTool, onColor, onSize, onUndo, onRedo, onReset }: Props) {
  return (
    <div className="tool-bar">
      <div role="toolbar" aria-label="Tools">
        {TOOLS.map((each, i) => (
          <button key={each} type="button" className="plain" aria-pressed={each === tool} title={ABOUT_TOOLS[each].hint} onClick={() => onTool(each)}>
            <kbd>{i + 1}</kbd> {ABOUT_TOOLS[each].name}
          </button>
        ))}
      </div>
      <div>
        <label>
          Size {size} px <input type="range" min={1} max={most} value={size} onChange={(event) => onSize(Number(event.target.value))} />
        </label>
        {tool === "paint" && (
          <label>
            Color <input type="color" value={color} onChange={(event) => onColor(event.target.value)} />
          </label>
        )}
        <button type="button" className="plain" title="Ctrl-Z" disabled={!canUndo} onClick={onUndo}>
          Undo
        </button>
        <button type="button" className="plain" title="Ctrl-Shift-Z" disabled={!canRedo} onClick={onRedo}>
          Redo
        </button>
        <button type="button" className="plain" disabled={!canUndo} onClick={onReset}>
          Reset
        </button>
      </div>
      <p className="quiet">{ABOUT_TOOLS[tool].hint}</p>
    </div>
  );
}
