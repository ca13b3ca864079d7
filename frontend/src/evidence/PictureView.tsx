import type { Picture } from "../audit";

interface Props {
  picture: Picture;
  className?: string;
}

/** A picture. Very small ones keep their pixels sharp, because blur would show something that the model never saw. */
export function PictureView({ picture, className = "" }: Props) {
  const sharp = Math.max(picture.width, picture.height) <= 64 ? "pixelated" : "";
  return (
    <img
      className={`${className} ${sharp}`}
      src={picture.src}
      alt={picture.alt || "Image without a description"}
      width={picture.width}
      height={picture.height}
      loading="lazy"
      decoding="async"
    />
  );
}
