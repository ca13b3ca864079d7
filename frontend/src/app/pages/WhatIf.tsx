import { useEffect, useState } from "react";
import { useSearchParams } from "wouter";
import type { Upload } from "../../api";
import { useAbout } from "../about";
import { fileUrl, STATIC, tell } from "../ask";
import { FindingsAbout } from "../findingLinks";
import { COMPUTING, useImages } from "../useImages";
import { Editing } from "../whatif/Editing";
import type { ImageId } from "../whatif/edits";
import { describe, ImagePicker } from "../whatif/ImagePicker";

/** Edit an image, and see what the model predicts. */
export function WhatIf() {
  const { list, problem } = useImages();
  const about = useAbout();
  const [query, setQuery] = useSearchParams();
  const [error, setError] = useState("");
  const asked = query.get("image") ?? "0";
  const image: ImageId | null = list && (/^\d+$/.test(asked) ? (Number(asked) < list.images.length ? Number(asked) : null) : asked);
  const choose = (next: ImageId) => setQuery({ image: String(next) });
  const upload = async (file: Blob) => {
    try {
      choose((await tell<Upload>("POST", "/what-if/upload", file)).image);
      setError("");
    } catch (failure) {
      setError((failure as Error).message);
    }
  };
  usePasted((file) => void upload(file));
  const facts = typeof image === "number" ? (list?.images[image] ?? null) : null;
  return (
    <div
      className="what-if"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const file = event.dataTransfer.files[0];
        if (file && !STATIC) void upload(file);
      }}
    >
      <h1>What if…</h1>
      {problem && <p role="alert">{problem}</p>}
      {error && <p role="alert">{error}</p>}
      {!list && !problem && (
        <p role="status">{about.can_compute && !STATIC ? COMPUTING : "The run folder holds no images to show."}</p>
      )}
      {list && <ImagePicker list={list} image={image} onChoose={choose} onFile={(file) => void upload(file)} />}
      {list && image === null && <p role="alert">There is no such image; choose another.</p>}
      {list && image !== null && !STATIC && about.can_compute && <Editing key={image} image={image} facts={facts} list={list} />}
      {facts && <FindingsAbout row={facts.row} />}
      {list && facts && STATIC && (
        <figure className="still">
          <img src={fileUrl(`/what-if/picture/${facts.row}`)} alt={describe(list, facts)} />
          <figcaption>{describe(list, facts)}. To edit it, start the server: deeptroubles serve.</figcaption>
        </figure>
      )}
    </div>
  );
}

function usePasted(onFile: (file: File) => void) {
  useEffect(() => {
    if (STATIC) return;
    const paste = (event: ClipboardEvent) => {
      const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
      if (file) onFile(file);
    };
    window.addEventListener("paste", paste);
    return () => window.removeEventListener("paste", paste);
  });
}
