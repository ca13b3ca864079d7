/** Links from findings to the pages of the app. A report that stands alone has none. */
import { createContext, type ReactNode } from "react";

export interface Links {
  /** A link to the image of this row. */
  image: (row: number) => ReactNode;
  /** The text of a cell in a column of this name, as a link where it names a class, a layer or a unit. */
  cell: (column: string, text: string) => ReactNode;
}

export const LinksContext = createContext<Links>({ image: () => null, cell: (_column, text) => text });
