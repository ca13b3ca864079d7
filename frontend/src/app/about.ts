/** The model, the images and what can be computed, for all pages. */
import { createContext, useContext } from "react";
import type { About } from "../api";

export const AboutContext = createContext<About | undefined>(undefined);

/** The model, the images and what can be computed; only inside of the shell, which waits for the answer. */
export function useAbout(): About {
  const about = useContext(AboutContext);
  if (!about) throw new Error("useAbout outside of the shell");
  return about;
}
