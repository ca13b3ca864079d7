/** A share as percent, with a decimal where it is close to 0 or 1. */
export function formatShare(share: number): string {
  const percent = 100 * share;
  const digits = share > 0 && share < 1 && (percent < 1 || percent > 99) ? 1 : 0;
  return `${percent.toFixed(digits)}%`;
}
