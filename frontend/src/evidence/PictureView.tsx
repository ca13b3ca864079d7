import type { Picture } from "../audit";

interface Props {
  picture: Picture;
  className?: string;
}

/** An image. Small images keep sharp pixels, because smoothing would show something that the model did not get. */
export function PictureView({ picture, className = "" }: Props) {
  const sharp = Math.max(picture.width, picture.height) <= 64 ? "pixelated" : "";
  return (
    <img
      className={`${className} ${sharp}`}
      src={picture.src}
      alt={picture.alt || "Image without a description"}
      width={picture.width}
      height={picture.height}
    />
  );
}
