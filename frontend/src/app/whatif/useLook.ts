/** Predictions while the user drags: one request at a time, and always for the newest edits. */
import { useEffect, useRef, useState } from "react";
import type { Look, LookAsked } from "../../api";
import { tell } from "../ask";
import type { ImageId, Step } from "./edits";

export interface Looked {
  look: Look;
  step: Step;
  image: ImageId;
  /** Milliseconds from the question to the answer. */
  took: number;
}

interface Question {
  image: ImageId;
  step: Step;
  tracked: number | null;
  beside: boolean;
  /** Whether the canvas shows what was there before this step. */
  shown: () => boolean;
}

export function useLook(image: ImageId | null, question: Omit<Question, "image">): { looked: Looked | null; error: string } {
  const [looked, setLooked] = useState<Looked | null>(null);
  const [error, setError] = useState("");
  const waiting = useRef<Question | null>(null);
  const busy = useRef(false);
  const { step, tracked, beside, shown } = question;
  useEffect(() => {
    if (image === null) return;
    waiting.current = { image, step, tracked, beside, shown };
    if (!busy.current) void work();
    async function work() {
      busy.current = true;
      while (waiting.current) {
        const next = waiting.current;
        waiting.current = null;
        const began = performance.now();
        try {
          const look = await tell<Look>("POST", "/what-if/look", asked(next));
          setLooked({ look, step: next.step, image: next.image, took: performance.now() - began });
          setError("");
        } catch (problem) {
          setError((problem as Error).message);
        }
      }
      busy.current = false;
    }
  }, [image, step, tracked, beside, shown]);
  return { looked, error };
}

function asked({ image, step, tracked, beside, shown }: Question): LookAsked {
  const picture = !(step.local && shown());
  return { image, edits: [...step.edits], classes: tracked === null ? [] : [tracked], picture, beside };
}
