/** What the server looks at, for all pages. */
import { createContext, useContext } from "react";
import type { About } from "../api";

export const AboutContext = createContext<About | undefined>(undefined);

/** What the server looks at; only inside of the shell, which waits for it. */
export function useAbout(): About {
  const about = useContext(AboutContext);
  if (!about) throw new Error("useAbout outside of the shell");
  return about;
}
