// Rendered by a worker for each request.
export default function Page({ pid }) {
  return <p>served by {pid}</p>;
}

export const getServerSideProps = () => ({ props: { pid: process.pid } });
