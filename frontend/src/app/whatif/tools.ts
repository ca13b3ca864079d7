/** The tools of the canvas. */
export const TOOLS = ["hide", "paint", "erase", "clone", "copy", "cut"] as const;
export type Tool = (typeof TOOLS)[number];

export const ABOUT_TOOLS: Record<Tool, { name: string; hint: string; done: string }> = {
  hide: { name: "Hide", hint: "Covers a square with gray, to see what the prediction needs.", done: "Hidden" },
  paint: { name: "Paint", hint: "Paints with a color.", done: "Painted" },
  erase: { name: "Erase", hint: "Paints with the mean color of the image.", done: "Erased" },
  clone: { name: "Clone", hint: "Click where to take pixels from, then paint with them elsewhere.", done: "Cloned" },
  copy: { name: "Copy", hint: "Drag a rectangle, then click to paste a second copy.", done: "Pasted" },
  cut: { name: "Cut", hint: "Drag a rectangle to cut it out, then click to paste it elsewhere.", done: "Cut" },
};

/** Whether a tool first picks something up. */
export const picksUp = (tool: Tool) => tool === "copy" || tool === "cut";
